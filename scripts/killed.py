"""A run of ``mavis fit`` killed at random moments, resumed, and compared with one that was left alone.

    python -m scripts.killed examples/train/fit.yaml --kills 20

The folder of the YAML file is copied twice. One copy is run to its end; in the other ``mavis fit`` is killed (SIGKILL)
after a random time, ``--kills`` times, then run to its end. Every file of both must be the same to the byte, but for
report.json (seconds), a judge's database (compared by its rows) and checkpoints (left out: weights and log, which they
restore, are compared).
"""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml

LEFT_OUT = ("report.json", "checkpoint.pt")


def fit(config: Path, seconds: float | None = None) -> bool:
    """Run ``mavis fit``, for so many seconds at most; whether it came to its end."""
    process = subprocess.Popen([sys.executable, "-m", "server", "fit", str(config)], stderr=subprocess.DEVNULL)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    if code:
        raise typer.BadParameter(f"{config}: mavis fit ended with {code}")
    return True


def digests(folder: Path) -> dict[str, str]:
    """File -> hash of what must be equal."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.name in LEFT_OUT or path.name.endswith(("-wal", "-shm")):
            continue
        content = path.read_bytes()
        if path.suffix == ".sqlite":
            with sqlite3.connect(path) as database:
                content = repr(sorted(database.execute("SELECT key, score FROM answers"))).encode()
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def main(
    config: Annotated[Path, typer.Argument(help="YAML file of a run.")],
    kills: Annotated[int, typer.Option(min=1, help="How often.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
) -> None:
    """Print what was killed when, and whether all files are equal."""
    results = yaml.safe_load(config.read_text(encoding="utf-8"))["folder"]
    choose = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        quiet, killed = (Path(place, name) for name in ("quiet", "killed"))
        for copy in (quiet, killed):
            shutil.copytree(config.resolve().parent, copy, ignore=shutil.ignore_patterns(results))
        began = time.monotonic()
        fit(quiet / config.name)
        whole = time.monotonic() - began
        expected = digests(quiet / results)
        differ: set[str] = set()
        print(f"undisturbed: {len(expected)} files in {whole:.0f} s", flush=True)
        for number in range(1, kills + 1):
            seconds = choose.uniform(0.1, 0.7) * whole
            ended = fit(killed / config.name, seconds)
            there = len(digests(killed / results)) if (killed / results).exists() else 0
            print(f"{number}: {'came to its end' if ended else f'killed after {seconds:.1f} s'}, {there} files")
            if ended:  # begin anew: there are kills left
                differ |= compare(expected, digests(killed / results))
                shutil.rmtree(killed / results)
        fit(killed / config.name)
        differ |= compare(expected, digests(killed / results))
    print(f"{len(expected)} files, different, lost or too many: {', '.join(sorted(differ)) or 'none'}")
    raise typer.Exit(bool(differ))


def compare(expected: dict[str, str], found: dict[str, str]) -> set[str]:
    """Files that are not the same."""
    return {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}


if __name__ == "__main__":
    typer.run(main)
