"""``mavis serve`` with the model that ships, under all kinds of traffic at once, for half an hour.

    python -m benchmarks.soak --minutes 30 --clients 8 --out benchmarks/results/soak.json

Every second client is an ordinary one, the others hold the admin key and also write presets and load and unload a
value; with ``--keys`` the ordinary ones need a key, too. What must hold: no 5xx and no status that is wrong for its
request (``traffic.py`` says which are right; 429 always is), ``/health`` answered all the time, at the end no row
running or waiting and no KV held, resident memory flat after two minutes (``flat.py``: neither its trend nor the
highest of the last quarter more than 64 MiB above), and 0 on SIGTERM.

Needs Linux: memory is read from /proc, and /health is asked from 127.0.0.2.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from benchmarks.health_watch import HealthWatch
from benchmarks.machine import describe
from benchmarks.process_stat import resident_mib
from benchmarks.soak.clients import Clients, bearer, left_behind
from benchmarks.soak.flat import flatness
from scripts.served import Served, served
from value_models.loading import SHIPPED_HEADS

KEY, ADMIN_KEY = "soak-key-0123456789", "soak-admin-key-0123456789"
WARM_SECONDS = 120.0
SAMPLE_SECONDS = 10.0


def soak(it: Served, clients: Clients, seconds: float, headers: dict[str, str], label: str = "soak") -> dict[str, Any]:
    """The clients let loose on a running server, and what must hold while it runs.

    Args:
        headers: for /metrics.
    """
    pid, samples, start = it.process.pid, list[tuple[float, float]](), time.monotonic()
    every = min(SAMPLE_SECONDS, seconds / 40)  # a short one has as many samples
    with HealthWatch(it.port) as watch, tqdm(total=round(seconds), desc=label, unit="s") as progress:
        clients.start()
        while (passed := time.monotonic() - start) < seconds:
            samples.append((round(passed, 1), round(resident_mib(pid), 1)))
            progress.n = round(passed)
            progress.set_postfix(requests=clients.met.requests, MiB=samples[-1][1], wrong=len(clients.met.problems))
            time.sleep(min(every, seconds - passed))
        clients.stop()
        asked = watch.answers
        slowest, failures = watch.take()
    left = left_behind(it.url, headers)
    memory = flatness(samples, min(WARM_SECONDS, seconds / 4))
    problems = [*clients.met.problems, *failures[:10]]
    if left:
        problems.append(f"left behind: {left}")
    if memory is None or not memory.flat:
        problems.append(f"memory is not flat: {memory}")
    met = clients.met
    return {
        "seconds": seconds,
        "requests": met.requests,
        "status": {kind: dict(sorted(counts.items())) for kind, counts in sorted(met.statuses.items())},
        "slowest_s": dict(sorted(met.slowest.items())),
        "health": {"asked": asked, "slowest_s": slowest},
        "rss_mib": {"samples": samples, **({} if memory is None else dataclasses.asdict(memory))},
        "left_behind": left,
        "problems": problems,
    }


def main(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long the clients are at it.")] = 30.0,
    clients: Annotated[int, typer.Option(min=1, help="At once.")] = 8,
    seed: int = 0,
    keys: Annotated[bool, typer.Option(help="The server asks for keys.")] = False,
    engine_process: Annotated[bool, typer.Option(help="The engine in a process of its own.")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file for the result.")] = None,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server does not outlive a killed soak
    environment = {"MAVIS_ADMIN_API_KEY": ADMIN_KEY} | ({"MAVIS_API_KEY": KEY} if keys else {})
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        options = ["--values-dir", str(SHIPPED_HEADS), "--database", f"sqlite:///{folder}/db"]
        options += ["--engine-process"] if engine_process else []
        with log.open("wb") as output, served(*options, log=output, environment=environment) as it:
            work = Clients(it.url, clients, seed, KEY if keys else None, ADMIN_KEY)
            found = soak(it, work, minutes * 60, bearer(ADMIN_KEY))
        sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-100:]))
    if it.process.poll() != 0:
        found["problems"].append(f"the server ended with {it.process.poll()}")
    result = {"machine": describe(), "seed": seed, "clients": clients, "keys": keys, **found}
    result["exit_code"] = it.process.poll()
    print(json.dumps({key: value for key, value in result.items() if key != "rss_mib"}, indent=1))
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    if result["problems"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
