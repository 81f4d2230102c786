"""What follows the engine's death, by the setting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mavis_core.api.engine_client import EngineState
from mavis_core.api.errors import LoadError
from server.engine_watch import OnDeath, watch
from server.settings import load_settings


class FakeMortal:
    def __init__(self) -> None:
        self.state: EngineState = "loading"
        self.reason = "it broke"
        self.restarts = 0
        self._ready, self._dead = asyncio.Event(), asyncio.Event()

    async def wait_ready(self) -> None:
        await self._ready.wait()

    async def wait_dead(self) -> None:
        await self._dead.wait()

    def restart(self) -> None:
        self.restarts += 1
        self.state = "loading"
        self._ready.clear()
        self._dead.clear()

    async def load(self) -> None:
        self.state = "ready"
        self._ready.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def die(self) -> None:
        self.state = "dead"
        self._dead.set()
        self._ready.set()
        for _ in range(4):
            await asyncio.sleep(0)


@asynccontextmanager
async def watched(on_death: OnDeath) -> AsyncIterator[tuple[FakeMortal, list[str]]]:
    engine, told = FakeMortal(), list[str]()
    task = asyncio.ensure_future(watch(engine, on_death, lambda: told.append("ready"), told.append))
    await asyncio.sleep(0)
    yield engine, told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("on_death", ["exit", "restart", "stay"])
async def test_what_cannot_be_loaded_ends_the_server(on_death: OnDeath) -> None:
    async with watched(on_death) as (engine, told):
        await engine.die()
        assert (told, engine.restarts) == (["it broke"], 0)


async def test_death_ends_the_server() -> None:
    async with watched("exit") as (engine, told):
        await engine.load()
        await engine.die()
        assert told == ["ready", "it broke"]


async def test_death_is_followed_by_loading(caplog: pytest.LogCaptureFixture) -> None:
    async with watched("restart") as (engine, told):
        for restarts in (1, 2, 3):
            await engine.load()
            await engine.die()
            assert engine.restarts == restarts
        assert told == ["ready"] * 3
        assert caplog.text.count("the engine is dead: it broke; it is loaded anew") == 3
        await engine.die()  # while loading again
        assert told[-1] == "it broke"


async def test_death_is_borne(caplog: pytest.LogCaptureFixture) -> None:
    async with watched("stay") as (engine, told):
        await engine.load()
        await engine.die()
        assert told == ["ready"]
        assert "answered with 503 from here on" in caplog.text


def test_only_a_process_is_restarted() -> None:
    with pytest.raises(LoadError, match="on_engine_death='restart' needs engine_process"):
        load_settings(on_engine_death="restart")
    assert load_settings(on_engine_death="restart", engine_process=True).on_engine_death == "restart"
