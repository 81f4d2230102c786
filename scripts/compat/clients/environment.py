"""A client's own environment: made, asked for versions, and its loop run in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import Distribution
from pathlib import Path

from scripts.compat.clients.catalogue import Client

LOOPS = Path(__file__).with_name("loops")
PASSED = "passed"
TOLD = 300  # characters of an error that are kept
# Nobody's telemetry, prices or data sets are fetched, and no key of ours goes along.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "OPENAI_API_KEY": "none",
    "ANTHROPIC_API_KEY": "none",
    "OMP_NUM_THREADS": "1",
}
NOT_OURS = ("PYTHONPATH", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN")


class NotInstalledError(Exception):
    """Says in a line what is missing."""


def install(client: Client, folder: Path, seconds: float) -> None:
    """Make its environment in ``folder``, unless it is there; raises NotInstalledError."""
    if (folder / "made").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if client.node and shutil.which("npm") is None:
        raise NotInstalledError("there is no npm")
    deadline = time.monotonic() + seconds
    for command in _installing(client, folder):
        try:
            left = max(deadline - time.monotonic(), 1.0)
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            raise NotInstalledError(f"not installed within {seconds:.0f} s") from None
        if done.returncode:
            raise NotInstalledError(_error_of(done.stderr) or f"{command[0]} ended with {done.returncode}")
    (folder / "made").touch()


def _installing(client: Client, folder: Path) -> list[list[str]]:
    if client.node:
        (folder / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
        return [["npm", "install", "--no-audit", "--no-fund", "--loglevel", "error", *client.packages]]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [[sys.executable, "-m", "venv", str(folder)], [*pip, *client.packages]]


def versions(client: Client, folder: Path) -> dict[str, str]:
    names = [package.partition("[")[0] for package in client.packages]
    if client.node:
        installed = [folder / "node_modules" / name / "package.json" for name in names]
        return {
            name: json.loads(file.read_text(encoding="utf-8"))["version"]
            for name, file in zip(names, installed, strict=True)
        }
    [packages] = (folder / "lib").glob("python*/site-packages")
    return {name: next(iter(Distribution.discover(name=name, path=[str(packages)]))).version for name in names}


def run_loop(client: Client, folder: Path, url: str, tokenizer: Path, seconds: float) -> dict[str, str]:
    """How each of its checks ended: "passed", or the first line of the error.

    What never got as far as a check stands under "start", what took too long under "time".
    """
    program = LOOPS / client.program
    if client.node:  # Node looks for packages beside the program
        for file in LOOPS.glob("*.mjs"):
            shutil.copy(file, folder)
        command = ["node", str(folder / client.program), url, str(tokenizer)]
    else:
        command = [str(folder / "bin" / "python"), str(program), url, str(tokenizer)]
    try:
        done = subprocess.run(
            command, cwd=folder, env=_environment(folder), capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        return _checks(said) | {"time": f"not done within {seconds:.0f} s"}
    found = _checks(done.stdout)
    if done.returncode or not found:
        found["start" if not found else "end"] = _error_of(done.stderr) or f"ended with {done.returncode}"
    return found


def _environment(folder: Path) -> Mapping[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    path = os.pathsep.join([str(folder / "bin"), ours.get("PATH", "")])
    return ours | QUIET | {"PATH": path, "HOME": str(folder)}


def _checks(output: str) -> dict[str, str]:
    lines = [line for line in output.splitlines() if line.startswith('{"check"')]
    return {told["check"]: told["said"][:TOLD] for told in map(json.loads, lines)}


def _error_of(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if "error" in line.lower()]
    return (told or lines or [""])[-1][:TOLD]
