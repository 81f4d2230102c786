"""From ``mavis serve`` to the first streamed token of a guided answer, in seconds, as a newcomer waits for it.

python -m benchmarks.first_token
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer

from benchmarks.machine import describe

BODY = {
    "messages": [{"role": "user", "content": "How was your day?"}],
    "objective_weights": {"cheerful": 1.0},
    "stream": True,
}


def wait_for_token(url: str, deadline: float) -> None:
    """Ask until the server is there and ready, then until the first text arrives."""
    while time.monotonic() < deadline:
        try:
            with httpx.stream("POST", f"{url}/v1/chat/completions", json=BODY, timeout=60) as response:
                if response.status_code == 200:
                    for line in response.iter_lines():
                        if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                            return
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        time.sleep(0.05)
    raise RuntimeError("no token came in time")


def main(rounds: int = 3, out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None) -> None:
    """Start the server anew each round."""
    found = []
    for _ in range(rounds):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        start = time.monotonic()
        command = [sys.executable, "-m", "server", "serve", "--port", str(port)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for_token(f"http://127.0.0.1:{port}", start + 120)
            found.append(round(time.monotonic() - start, 2))
        finally:
            process.terminate()
            process.wait(60)
    report = {
        "benchmark": "first_token",
        "seconds": found,
        "median_s": statistics.median(found),
        "machine": describe(),
    }
    print(json.dumps(report))
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
