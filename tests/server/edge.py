"""A server as ``mavis serve`` makes it, and what it says to bytes as they stand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from server.serving import server_for
from server.settings import load_settings
from tests.server.fake_engine import FakeEngine, FakeTokenizer

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@contextmanager
def served(engine: FakeEngine | None = None, **settings: Any) -> Iterator[int]:
    """The port of a server on loopback."""
    tokenizer = FakeTokenizer()
    made = load_settings(**{"port": 0, "database": "sqlite://", **settings})
    server = server_for(made, engine or FakeEngine(), lambda: tokenizer, lambda: None)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def exchange(port: int, *pieces: bytes) -> bytes:
    """Everything the server says to ``pieces`` until it closes the connection."""
    with connect(port) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    answer = b""
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except ConnectionResetError:  # it closed while we were sending
        pass
    return answer


def answer_of(connection: socket.socket) -> tuple[int, Any]:
    """Status and JSON of one answer with a content-length, leaving the connection open."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = connection.recv(1)
        assert chunk, head
        head += chunk
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split(b" ")[1]), orjson.loads(body)


def parsed(answer: bytes) -> tuple[int, Any]:
    """Status and JSON of the only answer there is in ``answer``."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer
    return int(head.split(b" ")[1]), orjson.loads(body)
