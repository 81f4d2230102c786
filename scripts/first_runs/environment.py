"""A machine as a newcomer has it: a fresh checkout, a fresh virtual environment, a home without anything in it.

The virtual environment is made once, by the README's own line, and shared by the runs: making it is timed apart, since
it is mostly the network's time. Each run gets a home and a folder of its own, and none of our variables.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.first_runs.documented import Page

DOCUMENTED_PORT = 8000
# What would make a newcomer's life easier or harder than it is. Whatever pip needs to reach an index stays.
NOT_THEIRS = ("MAVIS_", "OPENAI_", "ANTHROPIC_", "HF_", "PYTHON", "VIRTUAL_ENV", "XDG_", "TORCH")


@dataclass(frozen=True, slots=True)
class Environment:
    """
    Attributes:
        folder: holds everything; homes of runs, too.
        seconds: what each part of the README's line took that makes it.
    """

    folder: Path
    seconds: dict[str, float]

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def programs(self) -> Path:
        return self.checkout / ".venv" / "bin"

    def page(self, name: str) -> Page:
        return Page.of(self.checkout, name)

    def variables(self, home: Path) -> dict[str, str]:
        """Of a shell in which ``mavis``, ``pip`` and ``python`` are those of the virtual environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_THEIRS)}
        return kept | {"HOME": str(home), "PATH": f"{self.programs}{os.pathsep}{kept['PATH']}"}


def first_line(page: Page) -> list[str]:
    """The README's line that sets everything up and serves, in its parts."""
    return page.command(r"&& \.venv/bin/mavis serve$").split(" && ")


def make(source: Path, folder: Path) -> Environment:
    """Copy what git tracks of ``source`` and install it as the README says; what is there already is left as it is.

    Raises:
        subprocess.CalledProcessError: with what a command said.
    """
    environment = Environment(folder, {})
    if environment.programs.joinpath("mavis").exists():
        return environment
    environment.checkout.mkdir(parents=True)
    folder.chmod(0o755)  # a temporary folder is its maker's alone, and one of the newcomers is somebody else
    tracked = subprocess.run(["git", "archive", "HEAD"], cwd=source, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=environment.checkout, input=tracked, check=True)
    home = folder / "home"
    home.mkdir()
    *making, _ = first_line(environment.page("README.md"))
    for command in making:
        began = time.monotonic()
        variables = environment.variables(home)
        subprocess.run(command, shell=True, cwd=environment.checkout, env=variables, check=True, capture_output=True)
        environment.seconds[command] = round(time.monotonic() - began, 1)
    return environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port
