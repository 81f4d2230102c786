"""2,000 malformed or hostile requests against ``mavis serve`` with the model that ships, twice.

    python -m benchmarks.hostile --out benchmarks/results/hostile.json

Eight clients at once, against a server with an admin key, presets and a values folder. What must hold: no 5xx, no
answer slower than 10 s, afterwards no row running or waiting and no KV held, the same answer to the same request as
before, and resident memory after the second round as after the first.
"""

from __future__ import annotations

import collections
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks.hostile.attack import ADMIN
from benchmarks.hostile.campaign import SLOWEST, Report, attacks, run
from benchmarks.machine import describe
from value_models.loading import SHIPPED_HEADS

MARGIN_MIB = 48


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        presets = Path(folder, "presets.yaml")
        presets.write_text("warm:\n  objective_weights: {cheerful: 1}\n")
        command = [sys.executable, "-m", "server", "serve", "--port", str(port), "--log-level", "error"]
        command += [
            "--presets",
            str(presets),
            "--values-dir",
            str(SHIPPED_HEADS),
            "--database",
            f"sqlite:///{folder}/db",
        ]
        log = Path(folder, "log")
        with log.open("wb") as output:
            environment = {**os.environ, "MAVIS_ADMIN_API_KEY": ADMIN}
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
            try:
                _wait_ready(process, port)
                yield process, port
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
                sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-200:]))


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ready", timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    raise RuntimeError(f"mavis serve ended with {process.returncode}")


def resident_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main(
    requests: Annotated[int, typer.Option(help="Per round.")] = 2000,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file for the result.")] = None,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server does not outlive a killed campaign
    with server() as (process, port):
        chosen = attacks(port, requests, seed)
        memory = [resident_mib(process.pid)]
        reports: list[Report] = []
        for _ in range(2):
            reports.append(run(chosen, port))
            memory.append(resident_mib(process.pid))
            for problem in reports[-1].problems:
                print(problem, flush=True)
    growth = memory[2] - memory[1]
    last = reports[-1]
    result: dict[str, Any] = {
        "machine": describe(),
        "seed": seed,
        "requests_per_round": len(chosen),
        "groups": dict(sorted(collections.Counter(attack.name for attack in chosen).items())),
        "rounds": [{"status": report.statuses, "slowest": report.slowest[:SLOWEST]} for report in reports],
        "rss_mib": {"start": memory[0], "after_first": memory[1], "after_second": memory[2], "margin": MARGIN_MIB},
        "problems": [problem for report in reports for problem in report.problems],
    }
    print(json.dumps({key: result[key] for key in ("requests_per_round", "rounds", "rss_mib", "problems")}, indent=1))
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    if last.problems or reports[0].problems or growth > MARGIN_MIB:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
