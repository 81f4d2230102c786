"""A client that leaves frees its row; a slow one holds up nobody; a crowd gets 200 or 429."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import httpx
import orjson
import pytest

from tests.server.conftest import USER, Live
from tests.server.fake_engine import FakeEngine


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "prompt"), [("chat/completions", {"messages": USER}), ("completions", {"prompt": ["a", "b"]})]
)
def test_leaving_aborts(serve: Callable[..., Live], stream: bool, path: str, prompt: dict[str, object]) -> None:
    live = serve(FakeEngine(latency=0.02))
    body = {**prompt, "stream": stream, "max_tokens": 300}
    if stream:
        with httpx.stream("POST", f"{live.url}/v1/{path}", json=body) as response:
            next(response.iter_bytes())
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{live.url}/v1/{path}", json=body, timeout=0.3)
    live.wait_idle()
    assert len(live.engine.aborted) == len(live.engine.requests) > 0
    again = httpx.post(f"{live.url}/v1/{path}", json={**prompt, "max_tokens": 2})
    assert again.status_code == 200


def test_leaving_before_the_first_token(serve: Callable[..., Live]) -> None:
    live = serve(FakeEngine(latency=30))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{live.url}/v1/chat/completions", json={"messages": USER, "stream": True}, timeout=0.2)
    live.wait_idle()
    assert len(live.engine.aborted) == 1


def test_a_slow_reader_holds_up_nobody(serve: Callable[..., Live]) -> None:
    live = serve(FakeEngine(max_model_len=200_000))
    body = orjson.dumps({"messages": USER, "stream": True, "max_tokens": 100_000, "logprobs": True, "top_logprobs": 3})
    with socket.create_connection(live.url.removeprefix("http://").split(":")) as slow:  # type: ignore[arg-type]
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        slow.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.3)  # never reads: the socket's buffers fill and its writer waits
        assert live.engine.running
        started = time.monotonic()
        assert httpx.post(f"{live.url}/v1/chat/completions", json={"messages": USER}).status_code == 200
        assert time.monotonic() - started < 1
    live.wait_idle()


async def test_a_crowd(serve: Callable[..., Live]) -> None:
    live = serve(FakeEngine(latency=0.005, limit=40))
    statuses = []
    async with AsyncExitStack() as stack:  # one httpx pool of 300 connections would be the slow part
        clients = [await stack.enter_async_context(httpx.AsyncClient(timeout=30)) for _ in range(15)]

        async def ask(i: int) -> None:
            body = {"messages": USER, "max_tokens": 5, "stream": i % 2 == 0}
            response = await clients[i % 15].post(f"{live.url}/v1/chat/completions", json=body)
            assert response.status_code == 200 or "retry-after" in response.headers
            statuses.append(response.status_code)

        await asyncio.gather(*(ask(i) for i in range(300)))
    assert len(statuses) == 300
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 40
    live.wait_idle()
    assert not live.engine.aborted
