"""Grammars are compiled beside the loop: nobody waits for another's, on a thread and in a process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from mavis_core.config import EngineConfig
from mavis_core.engine import Engine
from mavis_core.engine_process import EngineProcess
from mavis_core.engine_thread import EngineThread
from mavis_core.errors import InvalidRequestError
from mavis_core.matcher import Matcher
from mavis_core.messages import Request
from mavis_core.queue_client import QueueClient
from mavis_core.sampling_params import SamplingParams
from mavis_core.structure import Structure
from tests.models import assert_idle, request
from tests.structures import byte_policy
from value_models.loading import build_engine

CONFIG = EngineConfig(max_num_seqs=4, max_queue=4, block_size=4, device="cpu")


def build(report: Callable[[str, float], None]) -> Engine:
    return Engine(byte_policy(), [], CONFIG)


@asynccontextmanager
async def running(client: QueueClient) -> AsyncIterator[None]:
    client.start()
    await client.wait_ready()
    try:
        yield
    finally:
        await client.close()


def wanted(name: str, kind: Any = None, source: str = "", n: int = 1) -> Request:
    form = Structure(kind, source) if kind else None
    return request(name, [1, 2, 3], SamplingParams(seed=3, max_tokens=6, n=n, structure=form))


async def texts(client: QueueClient, one: Request) -> list[str]:
    found = [""] * one.sampling.n
    async for output in client.generate(one):
        for delta in output.deltas:
            found[delta.index] += delta.text
    return found


class Gate:
    """Holds up the compilation of one structure until it is opened."""

    def __init__(self, engine: Engine, source: str) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        compile = engine.grammars.compile

        def slowly(structure: Structure) -> Matcher:
            if structure.source == source:
                self.reached.set()
                self.opened.wait(20)
            return compile(structure)

        engine.grammars.compile = slowly  # type: ignore[method-assign]


@asynccontextmanager
async def gated(source: str) -> AsyncIterator[tuple[EngineThread, Gate]]:
    gates: list[Gate] = []

    def build_gated(report: Callable[[str, float], None]) -> Engine:
        engine = build(report)
        gates.append(Gate(engine, source))
        return engine

    client = EngineThread(build_gated, CONFIG)
    async with running(client):
        try:
            yield client, gates[0]
        finally:
            gates[0].opened.set()


async def test_others_go_on_while_one_compiles() -> None:
    async with gated("[a-c]{3}") as (client, gate):
        slow = asyncio.create_task(texts(client, wanted("slow", "regex", "[a-c]{3}", n=2)))
        assert await asyncio.to_thread(gate.reached.wait, 10)
        assert len(await texts(client, wanted("plain"))) == 1
        assert await texts(client, wanted("quick", "choice", '["yes"]')) == ["yes"]
        assert not slow.done()
        gate.opened.set()
        assert [len(text) for text in await slow] == [3, 3]


async def test_one_that_leaves_while_compiling_leaves_nothing() -> None:
    async with gated("a") as (client, gate):
        slow = asyncio.create_task(texts(client, wanted("r", "regex", "a")))
        assert await asyncio.to_thread(gate.reached.wait, 10)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await texts(client, wanted("r", "regex", "b")) == ["b"], "the same id again, for something else"
        gate.opened.set()
        assert await texts(client, wanted("last", "regex", "a")) == ["a"]
        assert client.in_flight == 0
        assert_idle(client.engine)


async def test_refusals_name_the_structure() -> None:
    client = EngineThread(build, CONFIG)
    async with running(client):
        for name, source, message in (("1", "(a", "unclosed group"), ("2", "a{1000000}", "too complex")):
            with pytest.raises(InvalidRequestError, match=message) as refused:
                await texts(client, wanted(name, "regex", source))
            assert refused.value.param == "structure"
        assert await texts(client, wanted("3", "regex", "ok")) == ["ok"]


async def test_what_the_library_does_wrong_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As extension modules raise it."""

    def panic(structure: Structure) -> Matcher:
        raise Panic

    client = EngineThread(build, CONFIG)
    async with running(client):
        assert await texts(client, wanted("1", "regex", "ok")) == ["ok"]
    broken = EngineThread(lambda report: _with(build(report), panic), CONFIG)
    async with running(broken):
        with pytest.raises(InvalidRequestError, match="cannot be compiled: Panic"):
            await texts(broken, wanted("2", "regex", "ok"))
        assert broken.state == "ready"


def _with(engine: Engine, compile: Callable[[Structure], Matcher]) -> Engine:
    engine.grammars.compile = compile  # type: ignore[method-assign]
    return engine


async def test_in_a_process() -> None:
    client = EngineProcess(partial(build_engine, None, [], CONFIG), CONFIG)
    schema = {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2}
    async with running(client):
        (text,) = await texts(client, wanted("1", "json_schema", json.dumps(schema)))
        assert json.loads(text) in ([1, 1], [1, 2], [2, 1], [2, 2])
        with pytest.raises(InvalidRequestError, match="unclosed group") as refused:
            async with aclosing(client.generate(wanted("2", "regex", "(a"))) as answer:
                await anext(answer)
        assert refused.value.param == "structure"
