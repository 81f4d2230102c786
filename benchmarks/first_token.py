"""From ``mavis serve`` to the first streamed token of a guided answer, in seconds, as a newcomer waits for it.

python -m benchmarks.first_token
python -m benchmarks.first_token --model path/to/model --compiled     and until its layers are compiled
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer

from benchmarks.machine import describe

COMPILED = "layers compiled"
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


def wait_for_layers(log: Path, deadline: float) -> None:
    """Until the server says that the model's layers are compiled."""
    while time.monotonic() < deadline:
        if COMPILED in log.read_text(errors="replace"):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the layers were not compiled in time: {log.read_text(errors='replace')[-500:]}")


def start(command: list[str], compiled: bool, folder: Path) -> dict[str, float]:
    """Seconds from starting the server to a token, and, if it compiles, to layers that are compiled."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    began = time.monotonic()
    with log.open("w") as errors:
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
        process = subprocess.Popen([*command, "--port", str(port)], stderr=errors, env=environment)
    try:
        wait_for_token(f"http://127.0.0.1:{port}", began + 120)
        found = {"first_token_s": round(time.monotonic() - began, 2)}
        if compiled:
            wait_for_layers(log, began + 300)
            found["compiled_s"] = round(time.monotonic() - began, 2)
    finally:
        process.terminate()
        process.wait(60)
    return found


def main(
    rounds: int = 3,
    model: Annotated[str | None, typer.Option(help="folder or hub id; the model that ships")] = None,
    compiled: Annotated[bool, typer.Option(help="wait for compiled layers, too; a large model's are")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Start the server anew each round; what the first one compiles lies in a cache for the others."""
    command = [sys.executable, "-m", "server", "serve", *(["--model", model] if model else [])]
    with tempfile.TemporaryDirectory() as folder:
        found = [start(command, compiled, Path(folder)) for _ in range(rounds)]
    seconds = [each["first_token_s"] for each in found]
    report = {
        "benchmark": "first_token",
        "model": Path(model).name if model else "shipped",
        "seconds": seconds,
        "median_s": statistics.median(seconds),
        **({"compiled_s": [each["compiled_s"] for each in found]} if compiled else {}),
        "machine": describe(),
    }
    print(json.dumps(report))
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
