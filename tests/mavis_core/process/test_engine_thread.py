"""The engine on its thread: what arrives, what is left behind, and what happens when a step fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import EngineUnavailableError, InvalidRequestError, QueueFullError, RequestFailedError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request, RequestOutput, StepStats
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import SearchParams
from mavis_core.engine import Engine
from mavis_core.grammar.matcher import Matcher
from mavis_core.offline import generate
from mavis_core.process.engine_loop import Dead
from mavis_core.process.engine_thread import EngineThread
from tests.mavis_core.clients import until
from tests.models import assert_idle, byte_tokenizer, objective, request, run
from tests.table import TokenValue, memoryless_policy

CONFIG = EngineConfig(max_num_seqs=3, max_queue=5, block_size=4)
NARROW = EngineConfig(max_num_seqs=3, max_queue=2, block_size=4)


class FlakyEngine(Engine):
    """Fails its next ``failures`` steps after they were scheduled; waits ``pause`` seconds in each step."""

    failures = 0
    error: type[BaseException] = RuntimeError
    pause = 0.0

    def add(self, request: Request, matcher: Matcher | None = None) -> None:
        if request.id == "odd":
            raise self.error("nobody expected it")
        super().add(request, matcher)

    def step(self) -> list[RequestOutput]:
        time.sleep(self.pause)
        outputs: list[RequestOutput] = super().step()
        if self.failures > 0:
            self.failures -= 1
            raise self.error("out of luck")
        return outputs


def build(progress: Callable[[str, float], None]) -> FlakyEngine:
    progress("building", 0.5)
    policy: Any = memoryless_policy([0.1, 0.2, 0.3, 0.4, 0.5], 2000)
    return FlakyEngine(policy, [], CONFIG)


@asynccontextmanager
async def running() -> AsyncIterator[tuple[EngineThread, FlakyEngine]]:
    client = EngineThread(build, CONFIG)
    client.start()
    await client.wait_ready()
    engine = client.engine
    assert isinstance(engine, FlakyEngine)
    try:
        yield client, engine
    finally:
        await client.close()


def wanted(name: str = "r", tokens: int = 5, n: int = 1) -> Request:
    return request(name, [1, 2, 3], SamplingParams(seed=3, max_tokens=tokens, n=n))


async def answer(client: EngineThread, one: Request) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    async for output in client.generate(one):
        for delta in output.deltas:
            found.setdefault(delta.index, []).extend(delta.token_ids)
    return found


def alone(one: Request) -> dict[int, list[int]]:
    engine = build(lambda stage, fraction: None)
    engine.add(one)
    return run(engine)[one.id]


async def test_answers_equal_the_engines_own() -> None:
    async with running() as (client, engine):
        requests = [wanted(str(i), 3 + i, n=1 + i % 2) for i in range(5)]
        answers = await asyncio.gather(*(answer(client, one) for one in requests))
        assert answers == [alone(one) for one in requests]
        assert client.in_flight == 0
        await until(lambda: not engine.has_work)
        assert_idle(engine)


async def test_loading_refuses_and_reports_progress() -> None:
    gate = threading.Event()
    stages: list[tuple[str, float]] = []

    def slow(progress: Callable[[str, float], None]) -> Engine:
        gate.wait(5)
        return build(progress)

    client: Any = EngineThread(slow, CONFIG, lambda stage, fraction: stages.append((stage, fraction)))
    client.start()
    assert client.state == "loading"
    with pytest.raises(EngineUnavailableError, match="the model is loading"):
        _ = client.info
    with pytest.raises(EngineUnavailableError, match="the model is loading"):
        await answer(client, wanted())
    gate.set()
    await client.wait_ready()
    assert client.state == "ready"
    assert client.info.vocab_size == 5
    assert stages == [("building", 0.5)]
    await client.close()


async def test_failed_loading_is_dead_and_says_why() -> None:
    def broken(progress: Callable[[str, float], None]) -> Engine:
        raise ValueError("no such folder")

    client = EngineThread(broken, CONFIG)
    client.start()
    await client.wait_ready()
    assert (client.state, client.reason) == ("dead", "loading failed: no such folder")
    with pytest.raises(EngineUnavailableError, match="no such folder"):
        await answer(client, wanted())
    await client.close()


@pytest.mark.parametrize("how", ["aclose", "cancel", "cancel before the first output"])
async def test_leaving_early_aborts(how: str) -> None:
    async with running() as (client, engine):
        engine.pause = 0.01
        if how == "aclose":
            stream = client.generate(wanted(tokens=1500, n=3))
            await anext(stream)
            await stream.aclose()
        else:
            task = asyncio.create_task(answer(client, wanted(tokens=1500, n=3)))
            await until(lambda: engine.has_work if how == "cancel" else client.in_flight == 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert client.in_flight == 0
        await until(lambda: client._inbox.empty() and not engine.has_work)
        assert_idle(engine)
        await asyncio.sleep(0)  # what the last step has posted is nobody's: the next request has the same id
        assert await answer(client, wanted()) == alone(wanted())


async def test_a_full_queue_refuses_and_recovers() -> None:
    async with running() as (client, engine):
        engine.pause = 0.01
        tasks = [asyncio.create_task(answer(client, wanted(str(i), 20))) for i in range(8)]
        await until(lambda: client.in_flight == 8)
        with pytest.raises(QueueFullError, match="8 choices are in flight, the limit is 8"):
            await answer(client, wanted("late"))
        answers = await asyncio.gather(*tasks)
        assert all(len(found[0]) == 20 for found in answers)
        assert await answer(client, wanted("late")) == alone(wanted("late"))


async def test_a_refused_request_fails_alone() -> None:
    async with running() as (client, engine):
        other = asyncio.create_task(answer(client, wanted("other", 9)))
        with pytest.raises(InvalidRequestError, match="unknown objective 'joy'") as caught:
            await answer(client, request("bad", [1], guidance=Guidance({"joy": 1.0})))
        assert caught.value.param == "objective_weights"
        with pytest.raises(InvalidRequestError, match="at most 1999"):
            await answer(client, request("long", [1] * 3000))
        assert await other == alone(wanted("other", 9))
        await until(lambda: not engine.has_work)
        assert_idle(engine)


async def test_an_id_in_flight_is_refused_and_the_first_goes_on() -> None:
    async with running() as (client, engine):
        engine.pause = 0.01
        first = asyncio.create_task(answer(client, wanted("x", 20)))
        await until(lambda: client.in_flight == 1)
        with pytest.raises(InvalidRequestError, match="'x' is in flight already"):
            await answer(client, wanted("x"))
        assert await first == alone(wanted("x", 20))


class Panic(BaseException):
    """As those of libraries written in Rust, no ``Exception``."""


@pytest.mark.parametrize("error", [KeyError, Panic])
async def test_a_request_that_cannot_be_taken_in_fails_alone(error: type[BaseException]) -> None:
    async with running() as (client, engine):
        engine.error = error
        first = asyncio.create_task(answer(client, wanted("x", 20)))
        with pytest.raises(RequestFailedError, match=f"on its way in: {error.__name__}"):
            await answer(client, wanted("odd"))
        assert await first == alone(wanted("x", 20))
        assert client.in_flight == 0


@pytest.mark.parametrize("error", [RuntimeError, Panic])
async def test_one_failed_step_fails_what_ran_and_the_next_is_served(error: type[BaseException]) -> None:
    async with running() as (client, engine):
        engine.error = error
        engine.failures = 1
        answers = await asyncio.gather(
            *(answer(client, wanted(str(i), 50, n=2)) for i in range(3)), return_exceptions=True
        )
        failed = [found for found in answers if isinstance(found, BaseException)]
        assert failed
        assert all(isinstance(failure, RequestFailedError) for failure in failed)
        assert {str(failure) for failure in failed} == {f"the engine failed: {error.__name__}"}
        assert client.state == "ready"
        assert await answer(client, wanted()) == alone(wanted())
        await until(lambda: not engine.has_work)
        assert_idle(engine)


async def test_two_failures_with_a_success_between_are_not_in_a_row() -> None:
    async with running() as (client, engine):
        for _ in range(4):
            engine.failures = 1
            with pytest.raises(RequestFailedError):
                await answer(client, wanted())
            assert await answer(client, wanted()) == alone(wanted())


async def test_three_failed_steps_in_a_row_are_the_end() -> None:
    async with running() as (client, engine):
        engine.failures = 99
        for _ in range(3):
            with pytest.raises((RequestFailedError, EngineUnavailableError), match="the engine failed"):
                await answer(client, wanted())
        await until(lambda: client.state == "dead")
        assert client.reason == "the engine failed 3 times in a row: out of luck"
        with pytest.raises(EngineUnavailableError, match="3 times in a row"):
            await answer(client, wanted())
        assert client.in_flight == 0


async def test_draining_refuses_and_waits() -> None:
    async with running() as (client, engine):
        engine.pause = 0.01
        task = asyncio.create_task(answer(client, wanted(tokens=30)))
        await until(lambda: client.in_flight == 1)
        assert await client.drain(0.05) is False
        assert client.state == "draining"
        with pytest.raises(EngineUnavailableError, match="shutting down"):
            await answer(client, wanted("late"))
        assert await client.drain(10) is True
        assert await task == alone(wanted(tokens=30))


async def test_closing_fails_what_is_in_flight() -> None:
    async with running() as (client, engine):
        engine.pause = 0.01
        task = asyncio.create_task(answer(client, wanted(tokens=1500)))
        await until(lambda: engine.has_work)
        await client.close()
        with pytest.raises(EngineUnavailableError, match="shutting down"):
            await task
        assert client.state == "dead"
        assert client.stopped


async def test_a_slow_reader_holds_back_nobody() -> None:
    async with running() as (client, _):
        slow = client.generate(wanted("slow", 200))
        await anext(slow)
        assert await answer(client, wanted("quick")) == alone(wanted("quick"))
        rest = [output async for output in slow]
        assert sum(len(d.token_ids) for output in rest for d in output.deltas) == 199


async def test_places_are_free_when_the_engine_is_done_read_or_not() -> None:
    """All eight places, read to the first token only: another request is taken, and draining waits for no reader."""
    async with running() as (client, engine):
        slow = [client.generate(wanted(name, 30, n=4)) for name in ("a", "b")]
        firsts = [await anext(stream) for stream in slow]
        await until(lambda: client.in_flight == 0)
        assert await answer(client, wanted()) == alone(wanted())
        again = client.generate(wanted("a", 30))  # under the id of one that is not read yet
        await anext(again)
        rest = [output async for output in slow[0]]  # whose end is not that of the later one
        assert sum(len(d.token_ids) for output in (firsts[0], *rest) for d in output.deltas) == 30 * 4
        assert len([output async for output in again]) == 29
        assert await client.drain(10)
        await slow[1].aclose()
        await until(lambda: not engine.has_work)
        assert_idle(engine)


async def test_a_refused_request_gives_its_places_back() -> None:
    async with running() as (client, _):
        bad = client.generate(request("bad", [1], guidance=Guidance({"joy": 1.0})))
        with pytest.raises(InvalidRequestError, match="joy"):
            await anext(bad)
        assert client.in_flight == 0


async def test_a_dead_engine_frees_places_and_gauges() -> None:
    seen: list[StepStats] = []
    async with running() as (client, engine):
        client.on_step(seen.append)
        engine.pause = 0.01
        stream = client.generate(wanted(tokens=1500, n=3))
        await anext(stream)
        assert seen[-1].running == 3
        client._post(client._inbox, Dead("it broke"))
        await client.wait_dead()
        assert client.in_flight == 0
        assert (seen[-1].running, seen[-1].waiting, seen[-1].kv_cache_usage) == (0, 0, 0.0)
        with pytest.raises(EngineUnavailableError, match="it broke"):
            async for _ in stream:
                pass


class Unforeseen(BaseException):
    """Nothing that the loop is ready for."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_ends_however_is_a_dead_engine() -> None:
    def broken(progress: Callable[[str, float], None]) -> Engine:
        raise Unforeseen

    client = EngineThread(broken, CONFIG)
    client.start()
    await asyncio.wait_for(client.wait_dead(), 10)
    assert (client.state, client.reason) == ("dead", "the engine's thread has ended")
    await client.close()


async def test_a_dead_engine_restarts_and_a_closed_one_has_not_died() -> None:
    async with running() as (client, engine):
        engine.failures = 99
        for _ in range(3):
            with pytest.raises((RequestFailedError, EngineUnavailableError)):
                await answer(client, wanted())
        await asyncio.wait_for(client.wait_dead(), 10)
        before = client._inbox
        client.restart()
        assert client.state == "loading"
        with pytest.raises(EngineUnavailableError, match="loading again"):
            await answer(client, wanted())
        client._post(before, Dead("its thread ended late"))  # which says nothing about the new one
        await client.wait_ready()
        assert await answer(client, wanted()) == alone(wanted())
        assert client.engine is not engine
        died = asyncio.ensure_future(client.wait_dead())
    await asyncio.sleep(0.05)
    assert (client.state, died.done()) == ("dead", False)
    died.cancel()


async def test_step_statistics_reach_the_loop() -> None:
    seen: list[tuple[StepStats, int]] = []
    async with running() as (client, _):
        client.on_step(lambda stats: seen.append((stats, threading.get_ident())))
        await answer(client, wanted(tokens=7))
    assert sum(stats.generation_tokens for stats, _ in seen) == 7
    assert sum(stats.prompt_tokens for stats, _ in seen) == 3
    assert [stats.idle for stats, _ in seen].count(False) == 7
    assert {thread for _, thread in seen} == {threading.get_ident()}


def searchable(progress: Callable[[str, float], None]) -> FlakyEngine:
    """With an objective and a tokenizer: what a search needs."""
    policy: Any = memoryless_policy([0.1, 0.2, 0.3, 0.4, 0.5], 2000, tokenizer=byte_tokenizer())
    value: Any = TokenValue([objective("a")], torch.tensor([[1.0], [3.0], [2.0], [0.0], [-1.0]]))
    engine = FlakyEngine(policy, [value], NARROW)
    engine.pause = 0.005
    return engine


@asynccontextmanager
async def searching() -> AsyncIterator[EngineThread]:
    client = EngineThread(searchable, NARROW)
    client.start()
    await client.wait_ready()
    try:
        yield client
    finally:
        await client.close()


def search_of(name: str, successors: int, tokens: int = 12) -> Request:
    params = SearchParams("chunk", 1, successors, 2)
    guidance = Guidance({"a": 1.0}, allow_empty=True, search=params)
    return request(name, [1, 2, 3], SamplingParams(seed=3, max_tokens=tokens), guidance)


async def test_a_search_equals_the_engines_own() -> None:
    async with searching() as client:
        found = await answer(client, search_of("s", 3))
    own = searchable(lambda stage, done: None)  # the client's is stepped by its thread
    ((alone,),) = generate(own, [[1, 2, 3]], SamplingParams(seed=3, max_tokens=12), search_of("s", 3).guidance)
    assert found[0] == alone.token_ids


async def test_a_search_keeps_its_places_between_rounds() -> None:
    """Four of the five places: one request more fits, a second one never does, however many rounds pass."""
    async with searching() as client:
        task = asyncio.create_task(answer(client, search_of("s", 4, 40)))
        await until(lambda: client.in_flight == 4)
        refused = 0
        while not task.done():
            assert client.in_flight == 4
            with pytest.raises(QueueFullError):
                await answer(client, search_of("late", 2))
            refused += 1
            await asyncio.sleep(0.01)  # a loop that never sleeps would keep the interpreter from the engine's thread
        assert refused > 5
        assert len((await task)[0]) == 40
        assert client.in_flight == 0


async def test_a_search_that_can_never_fit_is_refused_by_name() -> None:
    async with searching() as client:
        with pytest.raises(InvalidRequestError, match=r"guidance\.search takes 6 rows: this server has 5 places"):
            await answer(client, search_of("s", 6))
        assert client.in_flight == 0


async def test_every_choice_takes_a_place() -> None:
    async with searching() as client:
        many = request("many", [1, 2, 3], SamplingParams(n=6, max_tokens=2))
        with pytest.raises(InvalidRequestError, match="n takes 6 rows: this server has 5 places"):
            await answer(client, many)
        task = asyncio.create_task(answer(client, replace(many, sampling=SamplingParams(n=5, max_tokens=20))))
        await until(lambda: client.in_flight == 5)
        with pytest.raises(QueueFullError, match="5 choices are in flight"):
            await answer(client, request("late", [1, 2, 3], SamplingParams(max_tokens=2)))
        assert len(await task) == 5


async def test_draining_waits_for_a_search() -> None:
    async with searching() as client:
        task = asyncio.create_task(answer(client, search_of("s", 3, 20)))
        await until(lambda: client.in_flight == 3)
        assert await client.drain(30)
        assert len((await task)[0]) == 20


async def test_a_search_goes_on_unread() -> None:
    """It is at its own pace: nobody reads, and its places are free when it has ended."""
    async with searching() as client:
        unread = client.generate(search_of("s", 3, 20))
        first = await anext(unread)
        assert client.in_flight == 3
        await until(lambda: client.in_flight == 0)
        assert await client.drain(10)
        rest = [output async for output in unread]
        assert sum(len(d.token_ids) for output in (first, *rest) for d in output.deltas) == 20


async def test_leaving_a_search_leaves_no_row() -> None:
    async with searching() as client:
        task = asyncio.create_task(answer(client, search_of("s", 3, 1500)))
        await until(lambda: client.engine.has_work)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.in_flight == 0
        await until(lambda: client._inbox.empty() and not client.engine.has_work)
        assert_idle(client.engine)
