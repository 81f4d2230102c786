"""A client that reads nothing loses its connection and its request; one that reads slowly keeps both."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import pytest

from server import serving
from server.settings import load_settings
from server.wire.uvicorn_server import DrainingServer
from server.wire.write_limit import TimedWrites
from tests.server.conftest import USER
from tests.server.fake_engine import FakeEngine, FakeTokenizer


@contextmanager
def serving_thread(engine: FakeEngine, write_timeout: float) -> Iterator[DrainingServer]:
    settings = load_settings(port=0, database="sqlite://", write_timeout=write_timeout)
    server = serving.server_for(settings, engine, FakeTokenizer, lambda: None)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # connections inherit it
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def asked(server: DrainingServer, stream: bool, tokens: int) -> Iterator[socket.socket]:
    """A connection that has asked for more than the kernel holds, and has not read."""
    body = orjson.dumps({"messages": USER, "stream": stream, "max_tokens": tokens, "logprobs": True})
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(server.servers[0].sockets[0].getsockname())
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        yield client


def read_all(client: socket.socket) -> None:
    while client.recv(1 << 20):
        continue


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_nobody_reads_is_cut(stream: bool) -> None:
    engine = FakeEngine(max_model_len=200_000)
    with serving_thread(engine, 0.3) as server, asked(server, stream, 199_000 if stream else 6_000) as client:
        deadline = time.monotonic() + 30
        while not engine.requests or engine.running or server.server_state.connections:
            assert time.monotonic() < deadline, "the connection is still there"
            time.sleep(0.05)
        client.settimeout(30)
        with pytest.raises(ConnectionResetError):
            read_all(client)
        assert bool(engine.aborted) is stream


class FakeTransport:
    """A buffer whose size a test sets."""

    def __init__(self) -> None:
        self.size = 0
        self.connection = socket.socket()
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.size

    def get_extra_info(self, name: str) -> socket.socket:
        return self.connection

    def abort(self) -> None:
        self.aborted = True


class Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Holds the last timer."""

    def __init__(self) -> None:
        self.timer = Timer()
        self.pending: Callable[[], None] = lambda: None

    def call_later(self, delay: float, callback: Callable[..., None], *args: object) -> Timer:
        self.timer, self.pending = Timer(), lambda: callback(*args)
        return self.timer


class Flow:
    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


def watched(transport: FakeTransport, loop: FakeLoop) -> TimedWrites:
    """Without what uvicorn needs to make one."""
    connection = TimedWrites.__new__(TimedWrites)
    connection.transport, connection.loop, connection.flow = transport, loop, Flow()  # type: ignore[assignment]
    connection._write_timeout, connection._unread_look = 60.0, None
    return connection


def test_slowly_is_not_nothing() -> None:
    transport, loop = FakeTransport(), FakeLoop()
    connection = watched(transport, loop)
    transport.size = 100_000
    connection.pause_writing()
    for _ in range(50):
        transport.size -= 1
        loop.pending()
        assert not transport.aborted
    loop.pending()
    assert transport.aborted


def test_nobody_looks_where_all_is_read() -> None:
    transport, loop = FakeTransport(), FakeLoop()
    connection = watched(transport, loop)
    connection.pause_writing()
    timer = loop.timer
    connection.resume_writing()
    assert timer.cancelled
