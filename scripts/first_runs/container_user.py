"""The image's user, without an image: somebody without a home who can write to one temporary folder and nowhere else.

What the image promises is read from ``Dockerfile`` and ``docker-compose.yml``: user, command, variables, health check,
a read-only root, no capabilities. It has a home and two volumes besides; those are left out, which is what an
orchestrator does that runs images under numbers of its own. Where this machine is Linux and we are root, the root file
system really is mounted read-only, for this process alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

import yaml

from scripts.first_runs.newcomer import CannotBeHadError, Newcomer

KEY = "a-key-of-this-run"
MORE = ('"user": "alice"', '"response_format": {"type": "json_object"}', '"objectives": {"own": "Talk like a pirate."}')
"""Of further requests: what needs the database, processes of their own, and a second prompt."""
READING = "dac_read_search"
"""The one capability that is left where this machine's Python is in a folder that others cannot read."""


def run(newcomer: Newcomer) -> None:
    image, checkout = newcomer.page("Dockerfile"), newcomer.environment.checkout
    service = yaml.safe_load((checkout / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["mavis"]
    newcomer.expects(service["read_only"] and service["cap_drop"] == ["ALL"], "docker-compose.yml", str(service))
    temporary = newcomer.home / "tmp"
    temporary.mkdir()
    newcomer.before = confined(re.search(r"useradd --uid (\d+)", image.text), temporary)
    newcomer.variables = variables(newcomer, image.text, service["environment"]) | {"TMPDIR": str(temporary)}
    *_, entry = instructions(image.text, "ENTRYPOINT")
    *_, command = instructions(image.text, "CMD")
    serving = shlex.join([*json.loads(entry), *json.loads(command)])
    root = Path("/")
    newcomer.types('echo > "$TMPDIR/written" && ! echo > /written && ! echo > /home/written', root, complaints=False)
    with newcomer.serves(serving, root) as said:
        choice = newcomer.pastes(said, root)
        newcomer.succeeds(f"the request that the server printed: {choice['message']['content']!r}")
        *_, health = instructions(image.text, "HEALTHCHECK")
        newcomer.types(shlex.join(json.loads(health[health.index("[") :])), root)
        for more in MORE:
            body = f'{{"messages": [{{"role": "user", "content": "How was your day?"}}], "max_tokens": 24, {more}}}'
            asked = newcomer.page("README.md").command("^curl ").partition(" -d ")[0]
            asked = f'{asked} -H "Authorization: Bearer $MAVIS_API_KEY" -d {shlex.quote(body)}'
            said = newcomer.types(asked, root)
            newcomer.expects('"choices"' in said, asked, said)


def confined(user: re.Match[str] | None, temporary: Path) -> tuple[str, ...]:
    """What runs a command as the image's user on a file system that cannot be written to.

    Raises:
        CannotBeHadError: we are not root, or this is not Linux.
    """
    if user is None or sys.platform != "linux" or os.geteuid():
        raise CannotBeHadError("only root on Linux can become another user with a read-only file system")
    number = user[1]
    python = Path(sys.executable).resolve()
    hidden = any(not folder.stat().st_mode & 0o001 for folder in python.parents)
    kept = f",+{READING}" if hidden else ""
    become = ["setpriv", "--reuid", number, "--regid", number, "--clear-groups", "--no-new-privs"]
    become += [f"--inh-caps=-all{kept}", f"--ambient-caps=-all{kept}", f"--bounding-set=-all{kept}"]
    place = shlex.quote(str(temporary))
    mounts = f"mount -t tmpfs -o mode=1777 none {place} && mount -o remount,bind,ro / && cd /"
    return ("unshare", "--mount", "sh", "-c", f'{mounts} && exec {shlex.join(become)} "$@"', "sh")


def variables(newcomer: Newcomer, image: str, composed: dict[str, str | None]) -> dict[str, str]:
    """Those of the image and of its service, without a home; what the service only passes on is there, and empty."""
    lines = " ".join(instructions(image, "ENV"))
    found = dict(pair.split("=", 1) for pair in shlex.split(lines))
    kept = {name: value for name, value in found.items() if "/home/" not in value and name != "PATH"}
    passed = {name: "" for name, value in composed.items() if value is None}
    inherited = newcomer.environment.variables(newcomer.home)["PATH"]
    return {"PATH": inherited} | kept | passed | {"MAVIS_API_KEY": KEY}


def instructions(image: str, name: str) -> list[str]:
    """What stands behind an instruction, wherever it occurs."""
    joined = re.sub(r"\\\n\s*", "", image)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)
