from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI

from server.app import create_app
from server.settings import Settings
from server.stored.scope import Scope
from tests.server.fake_engine import TEMPLATE, FakeEngine, FakeTokenizer
from tests.server.postgres import postgres_url

USER: list[Any] = [{"role": "user", "content": "hi"}]
SCOPE = Scope("fake/model", FakeEngine().info.objectives)


def make_app(engine: FakeEngine, **settings: Any) -> FastAPI:
    """An app that forgets what it stores, unless told where to keep it, under whatever name a test calls it."""
    tokenizer = FakeTokenizer(settings.pop("tokenizer_template", TEMPLATE))
    return create_app(
        Settings(**{"database": "sqlite://", "allowed_hosts": ("*",), **settings}), engine, lambda: tokenizer
    )


@asynccontextmanager
async def app_client(engine: FakeEngine | None = None, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(engine or FakeEngine(), **settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with app_client(engine) as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'mavis.db'}"
    url: str = request.getfixturevalue("postgres")
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS model_preferences, model_presets, preferences, presets")
    return url


@dataclass
class Live:
    """A uvicorn on a free port, in a thread."""

    url: str
    engine: FakeEngine

    def wait_idle(self, seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while self.engine.running and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not self.engine.running


@pytest.fixture
def serve() -> Iterator[Callable[..., Live]]:
    stops: list[Callable[[], None]] = []

    def start(engine: FakeEngine | None = None, **settings: Any) -> Live:
        engine = engine or FakeEngine()
        config = uvicorn.Config(make_app(engine, **settings), port=0, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)

        def stop() -> None:
            server.should_exit = True
            thread.join(10)

        stops.append(stop)
        port = server.servers[0].sockets[0].getsockname()[1]
        return Live(f"http://127.0.0.1:{port}", engine)

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def live(serve: Callable[..., Live]) -> Live:
    return serve()
