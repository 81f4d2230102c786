"""Streams that nobody reads, long finished in the engine: they refuse nobody, and the drain does not wait for them."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import httpx
import orjson

from mavis_core.api.config import EngineConfig
from mavis_core.api.messages import ChoiceDelta, Request, RequestOutput, StepStats
from mavis_core.process.engine_thread import EngineThread
from server import serving
from server.settings import load_settings
from tests.server.conftest import USER
from tests.server.fake_engine import FakeEngine, FakeTokenizer

STEPS = 12
TEXT = "x" * 200_000


class Wordy:
    """An engine whose every token is a book."""

    def __init__(self) -> None:
        self.info = FakeEngine().info
        self.tokenizer = None
        self.grammars = SimpleNamespace(vocabulary=None)
        self.last_step = self.idle_stats()
        self._steps: dict[str, tuple[int, int]] = {}

    @property
    def has_work(self) -> bool:
        return bool(self._steps)

    def add(self, request: Request, matcher: None) -> None:
        self._steps[request.id] = request.sampling.n, STEPS

    def abort(self, request_id: str) -> None:
        self._steps.pop(request_id, None)

    def idle_stats(self) -> StepStats:
        return StepStats(0, 0, 0, 0, 0, 0.0, 0.0, 0.0)

    def step(self) -> list[RequestOutput]:
        outputs = []
        for name, (n, left) in list(self._steps.items()):
            last = left == 1
            deltas = [ChoiceDelta(i, TEXT, (65,), finish_reason="length" if last else None) for i in range(n)]
            outputs.append(RequestOutput(name, 1, tuple(deltas), last))
            self._steps[name] = n, left - 1
            if last:
                del self._steps[name]
        return outputs


def unread(address: tuple[str, int]) -> socket.socket:
    """Half of all places, asked for and read no further than the first bytes."""
    body = orjson.dumps({"messages": USER, "stream": True, "n": 4})
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(address)
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    client.settimeout(30)
    assert client.recv(12) == b"HTTP/1.1 200"
    return client


def test_they_refuse_nobody_and_hold_up_no_drain() -> None:
    build: Any = lambda report: Wordy()  # noqa: E731
    engine = EngineThread(build, EngineConfig(max_num_seqs=4, max_queue=4))
    settings = load_settings(port=0, database="sqlite://", drain_timeout=60, max_num_seqs=4, max_queue=4)
    server = serving.server_for(settings, engine, FakeTokenizer, engine.start)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started or engine.state == "loading":
        time.sleep(0.005)
    address = server.servers[0].sockets[0].getsockname()
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(unread(address))
        deadline = time.monotonic() + 30
        while engine.in_flight:
            assert time.monotonic() < deadline, "places are held for those who do not read"
            time.sleep(0.01)
        url = f"http://127.0.0.1:{address[1]}/v1/chat/completions"
        assert httpx.post(url, json={"messages": USER, "n": 4}, timeout=30).status_code == 200
        assert len(server.server_state.tasks) == 2  # the unread ones are still there
        stopped = time.monotonic()
        assert server._loop is not None
        server._loop.call_soon_threadsafe(server._stop, signal.SIGTERM)
        thread.join(40)
        assert time.monotonic() - stopped < 30  # uvicorn's 5 s for readers; not the drain's 60
        assert not thread.is_alive()
