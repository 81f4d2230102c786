"""2,000 malformed or hostile requests against ``mavis serve``, six times, and crowds that hold on to connections.

    python -m benchmarks.hostile --out benchmarks/results/hostile.json
    python -m benchmarks.hostile --model path/to/another/model
    python -m benchmarks.hostile --model byte-fallback    a random one that writes bytes which are no text

Eight clients at once, against a server with an admin key, presets and a values folder; then, once, crowds of up to 300
connections that stall, trickle, flood, leave or never read (``crowds.py``). All the while ``GET /health`` is asked ten
times a second from another address. What must hold: no 5xx, no answer slower than 10 s, ``/health`` never slower than
2 s, somebody else's small request served while a crowd stands, afterwards no row running or waiting and no KV held, the
same answer to the same request as before, resident memory after the last round as after the first half of them (the
first fills caches and the allocator's arenas), and the server ends with 0.

Needs Linux: memory is read from /proc, and 127.0.0.2 is the other address.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from tqdm import tqdm

from benchmarks.health_watch import HealthWatch
from benchmarks.hostile.attack import ADMIN
from benchmarks.hostile.byte_fallback import save_byte_fallback_model
from benchmarks.hostile.campaign import SLOWEST, Report, attacks, run
from benchmarks.hostile.crowds import MANY, crowds
from benchmarks.hostile.siege import SiegeReport, besiege
from benchmarks.machine import describe
from benchmarks.process_stat import resident_mib
from scripts.served import Served, served
from value_models.loading import SHIPPED_HEADS

# glibc takes memory for a thread in heaps of 64 MiB (seen in smaps: one more of them at once, none in half an hour's
# soak), so one of them is no leak.
MARGIN_MIB = 48 + 64
BYTE_FALLBACK = "byte-fallback"
LIMIT_SECONDS = "2"  # less than a crowd stays
LIMITED = ("HEAD_TIMEOUT", "BODY_TIMEOUT", "KEEP_ALIVE_TIMEOUT", "WRITE_TIMEOUT")
LIMITS = {f"MAVIS_{name}": LIMIT_SECONDS for name in LIMITED}


@contextmanager
def server(model: str | None) -> Iterator[Served]:
    """With an admin key, presets, a values folder and a database; the last lines of its log are shown at the end."""
    with tempfile.TemporaryDirectory() as folder:
        presets, log = Path(folder, "presets.yaml"), Path(folder, "log")
        presets.write_text("warm:\n  objective_weights: {cheerful: 1}\n")
        options = ["--presets", str(presets), "--values-dir", str(SHIPPED_HEADS)]
        options += ["--database", f"sqlite:///{folder}/db"]
        if model is not None:
            if model == BYTE_FALLBACK:
                save_byte_fallback_model(Path(folder, "model"))
                model = str(Path(folder, "model"))
            options = [*options[2:], "--model", model]  # whose objectives are not those of the presets
        with (
            log.open("wb") as output,
            served(*options, log=output, environment=LIMITS | {"MAVIS_ADMIN_API_KEY": ADMIN}) as it,
        ):
            yield it
        sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-200:]))


def main(
    requests: Annotated[int, typer.Option(help="Per round.")] = 2000,
    rounds: Annotated[int, typer.Option(min=2, help="Of the same requests.")] = 6,
    crowd: Annotated[int, typer.Option(min=0, help="Connections of the largest crowd; 0: no crowds.")] = MANY,
    seed: int = 0,
    model: Annotated[str | None, typer.Option(help="A folder, or byte-fallback; none: the one that ships.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for the result.")] = None,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server does not outlive a killed campaign
    reports: list[Report] = []
    sieges: list[SiegeReport] = []
    ended: list[str] = []
    with server(model) as it:
        process, port = it.process, it.port
        chosen = attacks(port, requests, seed)
        standing = crowds(crowd) if crowd else []
        memory = [resident_mib(process.pid)]
        with HealthWatch(port) as watch, tqdm(total=rounds + len(standing), desc="hostile", unit="round") as progress:
            try:
                for _ in range(rounds):
                    reports.append(run(chosen, port, watch))
                    memory.append(resident_mib(process.pid))
                    _show(reports[-1].problems, progress)
                for one in standing:
                    progress.set_postfix_str(one.name)
                    sieges.append(besiege(one, port, process.pid, watch))
                    _show(sieges[-1].problems, progress)
                after_crowds = resident_mib(process.pid)
            except (httpx.HTTPError, OSError) as error:  # nobody there to ask; what was found so far is reported
                ended.append(f"the server is gone: {error!r}")
                after_crowds = 0.0
            asked = watch.answers
    problems = [problem for report in reports for problem in report.problems]
    problems += ended
    problems += [problem for siege in sieges for problem in siege.problems]
    if process.poll() != 0:
        problems.append(f"the server ended with {process.poll()}")
    growth = memory[-1] - memory[min(rounds // 2, len(memory) - 1)]
    result: dict[str, Any] = {
        "machine": describe(),
        "seed": seed,
        "model": "shipped" if model is None else Path(model).name,
        "requests_per_round": len(chosen),
        "groups": dict(sorted(collections.Counter(attack.name for attack in chosen).items())),
        "rounds": [{"status": r.statuses, "slowest": r.slowest[:SLOWEST], "health": r.health} for r in reports],
        "crowds": [dataclasses.asdict(report) for report in sieges],
        "health": {"asked": asked, "slowest": max([0.0, *(r.health for r in reports), *(s.health for s in sieges)])},
        "rss_mib": {
            "start": memory[0],
            "after_rounds": memory[1:],
            "growth": growth,
            "margin": MARGIN_MIB,
            "after_crowds": after_crowds,
        },
        "problems": problems,
    }
    shown = ("requests_per_round", "rounds", "crowds", "health", "rss_mib", "problems")
    print(json.dumps({key: result[key] for key in shown}, indent=1))
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    if problems or growth > MARGIN_MIB:
        raise typer.Exit(1)


def _show(problems: list[str], progress: Any) -> None:
    for problem in problems:
        progress.write(problem)
    progress.update()


if __name__ == "__main__":
    typer.run(main)
