"""A server as settings describe it, with the real engine behind it, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from server.app import create_app
from server.cli.engine import engine_client
from server.settings import load_settings


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one start of a server on the CPU, once it is ready."""
    found = load_settings(database="sqlite://", device="cpu", allowed_hosts=("*",), **settings)
    client = engine_client(found, lambda stage, done: None)
    app = create_app(found, client, lambda: client.tokenizer)
    client.start()
    await client.wait_ready()
    assert client.state == "ready", client.reason
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as http:
            yield http
