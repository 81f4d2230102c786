"""Clients that take their time: silent, a head that stops, a body that stops, one byte now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson
import pytest

from tests.server.conftest import USER
from tests.server.edge import CHAT, answer_of, connect, parsed, rest, served
from tests.server.fake_engine import FakeEngine

BODY = orjson.dumps({"messages": USER, "max_tokens": 3})
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(head_timeout=0.5, body_timeout=0.5, keep_alive_timeout=1) as port:
        yield port


@pytest.mark.parametrize("start", [b"", b"\r\n"])
def test_a_silent_connection_is_closed(port: int, start: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(start)
        assert rest(connection) == b""


@pytest.mark.parametrize("start", [b"G", b"GET /health HTTP/1.1\r\nHost: lo", CHAT])
def test_a_head_that_stops(port: int, start: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(start)
        status, answer = parsed(rest(connection))
    assert (status, answer["error"]["code"]) == (408, "request_timeout")
    assert "head_timeout=0.5" in answer["error"]["message"]


@pytest.mark.parametrize("start", [LENGTH, LENGTH + BODY[:-1], b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: "])
def test_a_body_that_stops(port: int, start: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(CHAT + start)
        status, answer = parsed(rest(connection))
    assert (status, answer["error"]["code"]) == (408, "request_timeout")
    assert "body_timeout=0.5" in answer["error"]["message"]


@pytest.mark.parametrize("start", [b"GET /health HTTP/1.1\r\nX: ", CHAT + b"Content-Length: 100000\r\n\r\n"])
def test_single_bytes_do_not_help(port: int, start: bytes) -> None:
    assert hung_up_on(port, start, b"a")


def test_empty_lines_between_requests_do_not_help(port: int) -> None:
    assert hung_up_on(port, HEALTH, b"\r\n")


def test_the_rest_of_a_refused_body_does_not_help(port: int) -> None:
    """The answer is out before the body; what comes after it is read for so long only."""
    head = CHAT.replace(b"application/json", b"text/plain") + b"Transfer-Encoding: chunked\r\n\r\n"
    assert hung_up_on(port, head, b"1\r\na\r\n")


def hung_up_on(port: int, start: bytes, more: bytes) -> bool:
    """Whether the server closes a connection that ``more`` never stops to come on."""
    with connect(port) as connection:
        connection.sendall(start)
        for _ in range(200):  # twenty seconds
            time.sleep(0.1)
            try:
                connection.sendall(more)
            except (BrokenPipeError, ConnectionResetError):
                return True
    return False


def test_the_next_request_of_a_connection(port: int) -> None:
    with connect(port) as connection:
        for _ in range(3):
            time.sleep(0.3)  # longer than a head may take, all in all
            connection.sendall(HEALTH)
            assert answer_of(connection)[0] == 200
        assert rest(connection) == b""
    with connect(port) as connection:
        connection.sendall(HEALTH)
        answer_of(connection)
        connection.sendall(HEALTH[:9])
        assert parsed(rest(connection))[0] == 408


def test_an_answer_takes_as_long_as_it_takes() -> None:
    """Neither what is answered nor what waits behind it is hurried, also not by half a request behind that."""
    with served(FakeEngine(latency=0.15), head_timeout=0.5, body_timeout=0.5) as port, connect(port) as connection:
        body = orjson.dumps({"messages": USER, "max_tokens": 8})
        request = CHAT + b"Content-Length: %d\r\n\r\n" % len(body) + body
        connection.sendall(request + request[:-5])
        status, answer = answer_of(connection)
        assert (status, answer["usage"]["completion_tokens"]) == (200, 8)
        connection.sendall(request[-5:] + request[:20])
        status, answer = answer_of(connection)
        assert (status, answer["usage"]["completion_tokens"]) == (200, 8)
        assert parsed(rest(connection))[0] == 408
