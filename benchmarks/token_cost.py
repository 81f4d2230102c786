"""CPU time per streamed token outside the model, of the engine's thread or process and of the event loop.

    python -m benchmarks.token_cost                          64 streams of a guided chat, steps of 20 ms
    python -m benchmarks.token_cost --streams 256 --engine-process

A server with an engine that computes nothing (``paced_engine.py``) streams to clients in a process of their own. CPU
time and not wall time is what is counted, so that other load on the machine matters little.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

import typer
import uvloop

from benchmarks.machine import describe
from benchmarks.paced_engine import OBJECTIVES, PacedEngine
from mavis_core.api.config import EngineConfig
from mavis_core.api.messages import StepStats
from mavis_core.process.engine_process import EngineProcess
from mavis_core.process.engine_thread import EngineThread
from mavis_core.process.queue_client import QueueClient
from scripts.served import free_port
from server.serving import server_for
from server.settings import load_settings
from value_models.loading import SHIPPED_POLICY

SETTLE = 20  # steps before those that count


def clocks(client: QueueClient) -> dict[str, float]:
    """CPU seconds so far of the event loop, whose thread this is, and of whatever runs the engine."""
    times = {"event_loop": time.thread_time()}
    for thread in threading.enumerate():
        if thread.name.startswith("mavis-engine") and thread.ident is not None:
            times[thread.name.replace("-", "_")] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    if isinstance(client, EngineProcess) and client.pid is not None:
        times["mavis_engine_process"] = time.clock_gettime((~client.pid << 3) | 2)  # Linux: that process's CPU clock
    return times


class Watch:
    """Reads the clocks every ``steps`` steps in which every stream has a token."""

    def __init__(self, client: QueueClient, streams: int, steps: int) -> None:
        self._client, self._streams, self._steps = client, streams, steps
        self._seen = -SETTLE
        self._read: list[dict[str, float]] = []

    def see(self, step: StepStats) -> None:
        if step.generation_tokens != self._streams:
            return
        if self._seen >= 0 and self._seen % self._steps == 0:
            self._read.append(clocks(self._client))
        self._seen += 1

    def per_token(self) -> dict[str, float]:
        """CPU microseconds, medians over the rounds."""
        tokens = self._streams * self._steps
        spent = {name: [after[name] - before[name] for before, after in pairwise(self._read)] for name in self._read[0]}
        return {name: round(1e6 * statistics.median(seconds) / tokens, 2) for name, seconds in spent.items()}


def request(port: int, chat: bool, tokens: int, guided: bool, report: bool) -> bytes:
    """A stream as HTTP/1.1; the server closes the connection at its end."""
    said: dict[str, Any] = {"prompt": "How was your day?"}
    if chat:
        said = {"messages": [{"role": "user", "content": "How was your day?"}]}
    options = {"max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True}}
    weights = dict.fromkeys(OBJECTIVES, 0.5) if guided else {}
    body = json.dumps(said | options | {"objective_weights": weights, "guidance": {"report": report}})
    path = "/v1/chat/completions" if chat else "/v1/completions"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def main(
    streams: int = 64,
    steps: Annotated[int, typer.Option(help="of a round")] = 40,
    rounds: int = 7,
    step_ms: float = 20.0,
    chat: Annotated[bool, typer.Option(help="chat completions, or text completions")] = True,
    guided: bool = True,
    report: Annotated[bool, typer.Option(help="with a report of every token")] = False,
    engine_process: bool = False,
    tokenizer: Annotated[str, typer.Option(help="a folder")] = str(SHIPPED_POLICY),
) -> None:
    """Print CPU microseconds per token."""
    port = free_port()
    settings = load_settings(database="sqlite://", host="127.0.0.1", port=port, log_level="error")
    build = partial(PacedEngine, tokenizer, streams, step_ms / 1000)
    config = EngineConfig(max_num_seqs=streams)
    kind = EngineProcess if engine_process else EngineThread
    client = kind(build, config)  # type: ignore[arg-type]  # it is as much of an engine as its loop asks for
    watch = Watch(client, streams, steps)
    client.on_step(watch.see)
    server = server_for(settings, client, lambda: client.tokenizer, client.start)

    async def measure() -> None:
        serving = asyncio.ensure_future(server.serve())
        await client.wait_ready()
        asked = request(port, chat, SETTLE + steps * rounds + 5, guided, report)
        command = [sys.executable, "-m", "benchmarks.stream_client", str(port), str(streams)]
        clients = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE)
        await clients.communicate(asked)
        assert clients.returncode == 0, "the clients have failed"
        server.should_exit = True
        await serving

    uvloop.run(measure())
    told = {"streams": streams, "step_ms": step_ms, "chat": chat, "guided": guided, "report": report}
    found = {"steps": steps, "rounds": rounds, "us_per_token": watch.per_token()}
    print(json.dumps({"benchmark": "token_cost", **told, "machine": describe(), **found}))


if __name__ == "__main__":
    typer.run(main)
