"""Heads of requests on a real socket: too large, never ending, smuggling, split."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import httpx
import orjson
import pytest

from server.wire.header_limit import MAX_BYTES, MAX_LINES, MAX_PIPELINED
from tests.server.conftest import USER, app_client
from tests.server.edge import CHAT as CHAT_HEAD
from tests.server.edge import answer_of, connect, exchange, parsed, rest, served
from tests.server.fake_engine import FakeEngine

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server as ``mavis serve`` makes it."""
    with served(root_path="/mavis") as port:
        yield port


def send(port: int, *pieces: bytes) -> bytes:
    """What the server says to these bytes, up to its closing the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            while chunk := connection.recv(65536):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass  # the server has hung up on what we still had to say
    return answer


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"GET /version HTTP/1.1", b"Host: localhost", b"Connection: close", *lines, b"", b""])


def test_an_ordinary_request(port: int) -> None:
    assert send(port, head()).startswith(b"HTTP/1.1 200")
    assert send(port, head(b"X-Filling: " + b"a" * (MAX_BYTES - 500))).startswith(b"HTTP/1.1 200")


def test_two_requests_on_one_connection_have_a_limit_each(port: int) -> None:
    filling = b"X-Filling: " + b"a" * (MAX_BYTES - 500)
    first = head(filling).replace(b"Connection: close\r\n", b"")
    assert send(port, first + head(filling)).count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    "lines",
    [
        [b"X-Filling: " + b"a" * MAX_BYTES],
        [b"X-%d: a" % i for i in range(MAX_LINES + 1)],
    ],
)
async def test_heads_too_large(port: int, lines: list[bytes]) -> None:
    assert send(port, head(*lines)).startswith(b"HTTP/1.1 431")
    async with app_client() as client:
        headers = dict(line.split(b": ", 1) for line in lines)
        response = await client.get("/version", headers=headers)  # type: ignore[arg-type]
        assert (response.status_code, response.json()["error"]["code"]) == (431, "headers_too_large")
        assert response.headers["x-request-id"]


@pytest.mark.parametrize("start", [b"GET /version HTTP/1.1\r\nX-Endless: ", b"GET /", b"GET /version HTTP/1.1\r\n"])
def test_a_head_that_never_ends_is_cut_off(port: int, start: bytes) -> None:
    """Up to sixteen megabytes in pieces: the server hangs up long before."""
    lines = b"X-%09d: a\r\n" * 1000 % tuple(range(1000)) if start.endswith(b"\r\n") else b"a" * 16_000
    assert flood(port, start, lines) < 2**23


def flood(port: int, start: bytes, piece: bytes) -> int:
    """Bytes that could be sent before the server hung up."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(start)
        for i in range(2**24 // len(piece)):
            try:
                connection.sendall(piece)
            except (ConnectionResetError, BrokenPipeError):
                return i * len(piece)
    return 2**24


CHUNKED = CHAT_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
JSON = orjson.dumps({"messages": USER, "max_tokens": 2})
LAST_CHUNK = b"%x\r\n%b\r\n0\r\n" % (len(JSON), JSON)


@pytest.mark.parametrize("start", [b"1\r\n{\r\n0\r\n", b"1\r\n{\r\n0\r\nX-Endless: ", b"1;extension="])
@pytest.mark.parametrize("refused_before", [False, True])
def test_what_frames_a_body_ends_or_is_cut_off(port: int, start: bytes, refused_before: bool) -> None:
    """Trailers and chunk extensions, also behind an answer that did not wait for them (415)."""
    head = CHUNKED.replace(b"application/json", b"text/plain") if refused_before else CHUNKED
    lines = b"X-%09d: a\r\n" * 1000 % tuple(range(1000)) if start.endswith(b"0\r\n") else b"a" * 16_000
    assert flood(port, head + start, lines) < 2**23


def test_too_many_trailers_are_told(port: int) -> None:
    """Not a byte more than the server reads before it closes, so that its answer arrives."""
    with connect(port) as connection:
        connection.sendall(CHUNKED.replace(b"Host", b"Expect: 100-continue\r\nHost") + LAST_CHUNK)
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"  # all of that is read
        connection.sendall(b"X-Endless: ".ljust(MAX_BYTES + 1, b"a"))
        status, answer = parsed(rest(connection))
    assert (status, answer["error"]["code"]) == (431, "headers_too_large")


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    "trailer", [b"X-Objective-Weights: nothing=1", b"X-Request-Id: from-a-trailer", b"Content-Type: text/plain"]
)
def test_trailers_are_not_headers(port: int, trailer: bytes, together: bool) -> None:
    request = CHUNKED.replace(b"Host", b"Connection: close\r\nHost") + LAST_CHUNK + trailer + b"\r\n\r\n"
    answer = exchange(port, request) if together else exchange(port, request[:-30], request[-30:])
    assert parsed(answer)[0] == 200
    assert b"from-a-trailer" not in answer


def test_a_key_in_a_trailer_opens_nothing() -> None:
    with served(api_key="the-key") as port:
        request = CHUNKED + LAST_CHUNK + b"Authorization: Bearer the-key\r\n\r\n"
        with connect(port) as connection:
            connection.sendall(request)
            assert answer_of(connection)[0] == 401
            connection.sendall(request.replace(b"Host", b"Authorization: Bearer the-key\r\nHost"))
            assert answer_of(connection)[0] == 200


def test_requests_do_not_queue_without_end(port: int) -> None:
    """One read may bring thousands."""
    request = CHAT_HEAD + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON
    with connect(port) as connection:
        connection.sendall(request * (MAX_PIPELINED // 2))
        assert [answer_of(connection)[0] for _ in range(MAX_PIPELINED // 2)] == [200] * (MAX_PIPELINED // 2)
    assert exchange(port, b"GET /health HTTP/1.1\r\n\r\n" * 5000).count(b"HTTP/1.1 200") <= MAX_PIPELINED


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_is_not_http_is_told_so_in_our_shape(port: int, start: bytes) -> None:
    status, answer = parsed(exchange(port, start))
    assert (status, answer["error"]["code"], answer["error"]["type"]) == (400, "invalid_http", "invalid_request_error")


def test_a_client_that_leaves_a_request_behind_its_stream(caplog: pytest.LogCaptureFixture) -> None:
    """Its stream ends like any other, which uvicorn tells only the last request of a connection."""
    engine = FakeEngine(latency=0.3)
    body = orjson.dumps({"messages": USER, "max_tokens": 80, "stream": True})
    with caplog.at_level(logging.ERROR), served(engine) as port:
        with connect(port) as connection:
            connection.sendall(CHAT_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert connection.recv(20).startswith(b"HTTP/1.1 200")
            connection.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            time.sleep(0.2)
        for _ in range(100):
            if not engine.running:
                break
            time.sleep(0.1)
        assert not engine.running
    assert not caplog.messages


def test_a_body_is_not_a_head(port: int) -> None:
    body = b'{"messages": [{"role": "user", "content": "' + b" " * 300_000 + b'"}]}'
    line = CHAT_HEAD.replace(b"Host", b"Connection: close\r\nHost")
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    answer = send(port, line + length, *[body[i : i + 50_000] for i in range(0, len(body), 50_000)])
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"context_length_exceeded" in answer


@pytest.mark.parametrize(
    "line",
    [
        b"X-Objective-Weights: cheerful=1\nX-Other: 2\x00",
        b"X-Objective-Weights: cheerful=1\rSet-Cookie: a=b",
        b"X-Objective-Weights: cheerful\x00=1",
        b"X-Objective-Weights : cheerful=1",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Content-Length: 3\r\nContent-Length: 4",
    ],
)
def test_malformed_heads_are_refused(port: int, line: bytes) -> None:
    answer = send(port, head(line))
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b"Set-Cookie" not in answer


TRICKS = [
    b"/v1/presets/../../etc/passwd", b"/v1/presets/%2e%2e%2f%2e%2e%2fetc%2fpasswd", b"/v1/presets/..\\..\\x",
    b"/v1/presets/%00", b"/v1/presets/%ff", b"/v1/presets/%ed%a0%80", b"/v1/presets/%", b"/v1/presets/%zz",
    b"/v1/presets/" + b"a" * 10_000, b"/v1/presets/\xff", b"//v1//presets//x", b"/v1/presets/x;y?z#f",
    b"/v1/preferences/%00", b"/v1/preferences/%ff", b"/v1/preferences/../presets/x", b"/v1/preferences/",
    b"/v1/preferences/" + b"a" * 10_000, b"/v1/models/..%2f..%2fetc%2fpasswd", b"/v1/models/fake/model:..%2f..%2fx",
    b"/v1/models/%00:%00", b"http://other/v1/presets/x", b"*",
]  # fmt: skip


@pytest.mark.parametrize("target", TRICKS, ids=range(len(TRICKS)))
def test_path_tricks(port: int, target: bytes) -> None:
    """As they stand, without a client that tidies them up."""
    for method in (b"GET", b"DELETE", b"PUT"):
        answer = send(port, head().replace(b"GET /version", method + b" " + target))
        assert answer.split(b" ", 2)[1] in (b"400", b"403", b"404", b"405", b"415"), answer
        assert len(answer) < 2000


@pytest.mark.parametrize("given", [b"a\tb", b"a b", b"a" * 129, b"a;b", b"\xc3\xa4", b"a%0d%0aSet-Cookie:x", b""])
def test_a_request_id_is_only_taken_over_where_it_is_harmless(port: int, given: bytes) -> None:
    answer = send(port, head(b"X-Request-Id: " + given))
    [shown] = [line for line in answer.split(b"\r\n") if line.lower().startswith(b"x-request-id:")]
    assert given not in shown or not given
    assert len(shown.split(b": ")[1]) == 32


def test_behind_a_proxy_that_takes_a_prefix_off(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    assert httpx.get(url + "/health").status_code == 200
    answer = httpx.post(url + CHAT, json={"messages": USER, "max_tokens": 2})
    assert answer.status_code == 200
    assert {"url": "/mavis"} in httpx.get(url + "/openapi.json").json()["servers"]


async def test_the_prefix_opens_nothing() -> None:
    from starlette.types import Receive, Scope, Send

    from tests.server.conftest import make_app

    app = make_app(FakeEngine(), api_key="the-key")

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "root_path": "/mavis", "path": "/mavis" + scope["path"]}
        await app(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(mounted), base_url="http://t") as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/v1/models")).status_code == 401
        key = {"authorization": "Bearer the-key"}
        assert (await client.get("/v1/models", headers=key)).status_code == 200
