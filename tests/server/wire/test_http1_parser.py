"""Requests that wish for another protocol are answered in this one, on a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from tests.server.conftest import USER
from tests.server.edge import CHAT, answer_of, connect, exchange, parsed, served

BODY = orjson.dumps({"messages": USER, "max_tokens": 3})
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
HTTP2 = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served() as port:
        yield port


@pytest.mark.parametrize("wish", [HTTP2, WEBSOCKET, b"Connection: upgrade\r\nUpgrade: TLS/1.0, other\r\n"])
def test_the_body_is_read(port: int, wish: bytes) -> None:
    """Whole, cut anywhere, chunked, and again on the same connection."""
    whole = CHAT + wish + LENGTH + BODY
    chunked = CHAT + wish + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    with connect(port) as connection:
        for request in (whole, chunked, whole):
            for cut in (1, len(CHAT) + 5, len(request) - len(BODY) - 7, len(request) - len(BODY), len(request) - 3):
                connection.sendall(request[:cut])
                connection.sendall(request[cut:])
                status, answer = answer_of(connection)
                assert status == 200, answer
                assert answer["usage"]["completion_tokens"] == 3


def test_the_connection_can_be_the_last(port: int) -> None:
    wish = HTTP2.replace(b"Connection: ", b"Connection: close, ")
    status, answer = parsed(exchange(port, CHAT + wish + LENGTH + BODY))
    assert (status, answer["object"]) == (200, "chat.completion")


def test_no_websocket(port: int) -> None:
    """There are none; a request for one is one for the path that it names."""
    with connect(port) as connection:
        for target, expected in ((b"/v1/realtime", 404), (b"/v1/chat/completions", 405), (b"/health", 200)):
            connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + WEBSOCKET + b"\r\n")
            assert answer_of(connection)[0] == expected


def test_no_proxy(port: int) -> None:
    status, answer = parsed(exchange(port, b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert (status, answer["error"]["code"]) == (400, "invalid_http")


def test_many_wishes_in_one_read(port: int) -> None:
    """What is behind an upgrade is read in a loop, not deeper and deeper."""
    one = b"GET /health HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n"
    assert exchange(port, one * 5000).count(b"HTTP/1.1 101") == 0
    assert parsed(exchange(port, one.replace(b"upgrade\r", b"upgrade, close\r")))[0] == 200
