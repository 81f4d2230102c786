"""2,000 malformed or hostile requests against ``mavis serve`` with the model that ships, six times.

    python -m benchmarks.hostile --out benchmarks/results/hostile.json

Eight clients at once, against a server with an admin key, presets and a values folder. What must hold: no 5xx, no
answer slower than 10 s, afterwards no row running or waiting and no KV held, the same answer to the same request as
before, and resident memory after the last round as after the first half of them (the first fills caches and the
allocator's arenas).
"""

from __future__ import annotations

import collections
import json
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.hostile.attack import ADMIN
from benchmarks.hostile.campaign import SLOWEST, Report, attacks, run
from benchmarks.machine import describe
from scripts.served import Served, served
from value_models.loading import SHIPPED_HEADS

MARGIN_MIB = 48


@contextmanager
def server() -> Iterator[Served]:
    """With an admin key, presets, a values folder and a database; the last lines of its log are shown at the end."""
    with tempfile.TemporaryDirectory() as folder:
        presets, log = Path(folder, "presets.yaml"), Path(folder, "log")
        presets.write_text("warm:\n  objective_weights: {cheerful: 1}\n")
        options = ["--presets", str(presets), "--values-dir", str(SHIPPED_HEADS)]
        options += ["--database", f"sqlite:///{folder}/db"]
        with log.open("wb") as output, served(*options, log=output, environment={"MAVIS_ADMIN_API_KEY": ADMIN}) as it:
            yield it
        sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-200:]))


def resident_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main(
    requests: Annotated[int, typer.Option(help="Per round.")] = 2000,
    rounds: Annotated[int, typer.Option(min=2, help="Of the same requests.")] = 6,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file for the result.")] = None,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server does not outlive a killed campaign
    with server() as it:
        process, port = it.process, it.port
        chosen = attacks(port, requests, seed)
        memory = [resident_mib(process.pid)]
        reports: list[Report] = []
        for _ in range(rounds):
            reports.append(run(chosen, port))
            memory.append(resident_mib(process.pid))
            for problem in reports[-1].problems:
                print(problem, flush=True)
    growth = memory[-1] - memory[rounds // 2]
    result: dict[str, Any] = {
        "machine": describe(),
        "seed": seed,
        "requests_per_round": len(chosen),
        "groups": dict(sorted(collections.Counter(attack.name for attack in chosen).items())),
        "rounds": [{"status": report.statuses, "slowest": report.slowest[:SLOWEST]} for report in reports],
        "rss_mib": {"start": memory[0], "after_rounds": memory[1:], "growth": growth, "margin": MARGIN_MIB},
        "problems": [problem for report in reports for problem in report.problems],
    }
    print(json.dumps({key: result[key] for key in ("requests_per_round", "rounds", "rss_mib", "problems")}, indent=1))
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    if result["problems"] or growth > MARGIN_MIB:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
