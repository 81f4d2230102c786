"""Grammars are compiled beside the loop: nobody waits for another's, on a thread and in a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError, UnknownRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.grammar import worker
from mavis_core.grammar.compiler import Vocabulary
from mavis_core.grammar.processes import GrammarProcess, GrammarProcesses
from mavis_core.grammar.wire import Limits
from mavis_core.process import engine_loop
from mavis_core.process.engine_thread import EngineThread
from mavis_core.process.queue_client import QueueClient
from tests.mavis_core.clients import running
from tests.models import assert_idle, request
from tests.structures import EXPLODES, EXPLODES_LATER, byte_policy

CONFIG = EngineConfig(max_num_seqs=4, max_queue=4, block_size=4, device="cpu")


def build(report: Callable[[str, float], None]) -> Engine:
    return Engine(byte_policy(), [], CONFIG)


def wanted(name: str, kind: Any = None, source: str = "", n: int = 1, max_tokens: int = 6) -> Request:
    form = Structure(kind, source) if kind else None
    return request(name, [1, 2, 3], SamplingParams(seed=3, max_tokens=max_tokens, n=n, structure=form))


async def texts(client: QueueClient, one: Request) -> list[str]:
    found = [""] * one.sampling.n
    async for output in client.generate(one):
        for delta in output.deltas:
            found[delta.index] += delta.text
    return found


class Gate(GrammarProcesses):
    """Holds up the matcher of one structure until it is opened, and others for ever where ``broken`` says so."""

    def __init__(self, vocabulary: Callable[[], Vocabulary], source: str, broken: type[BaseException] | None = None):
        super().__init__(vocabulary)
        self.opened, self.reached = threading.Event(), threading.Event()
        self._source, self._broken = source, broken

    def start(self, structure: Structure) -> GrammarProcess:
        if structure.source == self._source:
            if self._broken is not None:
                raise self._broken
            self.reached.set()
            self.opened.wait(20)
        return super().start(structure)


@asynccontextmanager
async def gated(
    monkeypatch: pytest.MonkeyPatch, source: str, broken: type[BaseException] | None = None
) -> AsyncIterator[tuple[EngineThread, Gate]]:
    gates: list[Gate] = []

    def make(vocabulary: Callable[[], Vocabulary]) -> Gate:
        gates.append(Gate(vocabulary, source, broken))
        return gates[0]

    monkeypatch.setattr(engine_loop, "GrammarProcesses", make)
    client = EngineThread(build, CONFIG)
    async with running(client):
        assert await texts(client, wanted("made", "choice", '["x"]')) == ["x"]
        try:
            yield client, gates[0]
        finally:
            gates[0].opened.set()


async def test_others_go_on_while_one_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    async with gated(monkeypatch, "[a-c]{3}") as (client, gate):
        compiling: list[int] = []
        client.on_step(lambda step: compiling.append(step.compiling))
        slow = asyncio.create_task(texts(client, wanted("slow", "regex", "[a-c]{3}", n=2)))
        assert await asyncio.to_thread(gate.reached.wait, 10)
        assert len(await texts(client, wanted("plain"))) == 1
        assert await texts(client, wanted("quick", "choice", '["yes"]')) == ["yes"]
        assert not slow.done()
        assert compiling[-1] == 1
        gate.opened.set()
        assert [len(text) for text in await slow] == [3, 3]
        assert compiling[-1] == 0


async def test_one_that_leaves_while_compiling_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with gated(monkeypatch, "a") as (client, gate):
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


async def test_what_goes_wrong_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As extension modules raise it."""

    async with gated(monkeypatch, "panics", Panic) as (client, _):
        assert await texts(client, wanted("1", "regex", "ok")) == ["ok"]
        with pytest.raises(InvalidRequestError, match=r"^structure: it cannot be compiled$"):
            await texts(client, wanted("2", "regex", "panics"))
        assert client.state == "ready"


async def test_what_explodes_ends_its_request_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(compile_seconds=0.5, step_seconds=0.2)
    monkeypatch.setattr(engine_loop, "GrammarProcesses", partial(GrammarProcesses, limits=limits))
    client = EngineThread(build, CONFIG)
    async with running(client):
        tasks = [asyncio.create_task(texts(client, wanted(str(i), "json_schema", EXPLODES))) for i in range(2)]
        assert len(await texts(client, wanted("plain"))) == 1
        for task in tasks:
            with pytest.raises(InvalidRequestError, match="too much time or memory") as refused:
                await task
            assert refused.value.param == "structure"
        with pytest.raises(InvalidRequestError, match="too much time or memory"):
            await texts(client, wanted("3", "json_schema", EXPLODES_LATER, max_tokens=20))
        assert await texts(client, wanted("4", "choice", '["yes"]')) == ["yes"]
        assert_idle(client.engine)


async def test_those_who_have_left_hold_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = Limits(compile_seconds=600, memory_bytes=1 << 40)
    monkeypatch.setattr(engine_loop, "GrammarProcesses", partial(GrammarProcesses, limits=unlimited))
    monkeypatch.setattr(worker, "THREADS", 2)
    client = EngineThread(build, CONFIG)
    async with running(client):
        gone = [asyncio.create_task(texts(client, wanted(str(i), "json_schema", EXPLODES))) for i in range(2)]
        waits = asyncio.create_task(texts(client, wanted("waits", "choice", '["yes"]')))
        await asyncio.sleep(0.5)
        assert not waits.done()
        for task in gone:
            task.cancel()
        assert await waits == ["yes"]


async def test_a_request_that_waits_for_its_grammar_is_steered_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From its first token on; where it is aborted before, nobody waits for ever."""
    async with gated(monkeypatch, "[a-c]{3}") as (client, gate):
        for opens in (False, True):
            slow = asyncio.create_task(texts(client, wanted("slow", "regex", "[a-c]{3}", n=2)))
            await asyncio.to_thread(gate.reached.wait, 20)
            steering = asyncio.create_task(client.steer("slow", Guidance()))
            assert len(await texts(client, wanted("plain"))) == 1
            assert not steering.done()
            if opens:
                gate.opened.set()
                assert await steering == (0, 0)
                assert len(await slow) == 2
            else:
                slow.cancel()
                with pytest.raises(UnknownRequestError):
                    await steering
            assert client.in_flight == 0
