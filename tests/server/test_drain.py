"""SIGTERM: a real process, a stream in flight, 503 for newcomers, exit code 0."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
import pytest

from tests.server.conftest import USER, make_app
from tests.server.fake_engine import FakeEngine

PROGRAM = """
from server import serving
from server.settings import load_settings
from tests.server.fake_engine import FakeEngine, FakeTokenizer
settings = load_settings(port={port}, drain_timeout={drain_timeout})
serving.server_for(settings, FakeEngine(latency=0.05), FakeTokenizer, lambda: None).run()
"""


@contextmanager
def server(drain_timeout: float) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = PROGRAM.format(port=port, drain_timeout=drain_timeout)
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                httpx.get(url + "/health")
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        try:
            yield process, url
        finally:
            process.kill()


def stream(url: str, tokens: int, process: subprocess.Popen[bytes]) -> list[Any]:
    """The chunks of a stream whose server is told to stop at its first chunk; also asks anew meanwhile."""
    chunks: list[Any] = []
    body = {"messages": USER, "stream": True, "max_tokens": tokens}
    with httpx.stream("POST", url + "/v1/chat/completions", json=body, timeout=20) as response:
        for line in response.iter_lines():
            if not line:
                continue
            chunks.append(line if line == "data: [DONE]" else orjson.loads(line.removeprefix("data: ")))
            if len(chunks) == 3:
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
                assert httpx.get(url + "/ready").status_code == 503
                assert httpx.get(url + "/health").status_code == 200
                assert httpx.post(url + "/v1/chat/completions", json={"messages": USER}).status_code == 503
    return chunks


def test_requests_in_flight_finish() -> None:
    with server(drain_timeout=20) as (process, url):
        chunks = stream(url, 20, process)
        assert chunks[-1] == "data: [DONE]"
        assert chunks[-2]["choices"][0]["finish_reason"] == "length"
        assert process.wait(10) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_the_end_cuts_off_gets_the_shape_of_errors(stream: bool) -> None:
    """uvicorn cancels what is left; without an answer of ours it sends its own, in plain text."""
    engine, sent = FakeEngine(latency=30), list[Any]()
    body = orjson.dumps({"messages": USER, "stream": stream})
    messages: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "raw_path": b"",
        "query_string": b"",
    }
    headers = [(b"content-type", b"application/json")]
    scope |= {"headers": headers, "client": None, "server": None, "scheme": "http"}
    app = make_app(engine)
    async with app.router.lifespan_context(app):
        task = asyncio.ensure_future(app(scope, receive, send))
        for _ in range(1000):
            if engine.running:
                break
            await asyncio.sleep(0.01)
        task.cancel()
        await task
    assert sent[0]["status"] == 503
    assert b"x-request-id" in dict(sent[0]["headers"])
    assert orjson.loads(sent[1]["body"])["error"]["code"] == "engine_unavailable"
    assert len(engine.aborted) == 1
