"""The engine in a process of its own: the thread's answers, and what only a process can do, which is to be killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import EngineUnavailableError
from mavis_core.api.messages import Request, StepStats
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.process.engine_process import EngineProcess
from mavis_core.process.engine_thread import EngineThread
from mavis_core.process.queue_client import QueueClient
from tests.forked import forked_engines
from tests.mavis_core.clients import running, until
from tests.models import request, save_tiny_llama
from tests.spawned import hang, refuse, slow_engine
from value_models.loading import build_engine

__all__ = ["forked_engines"]
CONFIG = EngineConfig(max_num_seqs=3, max_queue=5, block_size=4, device="cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-llama")
    save_tiny_llama(folder)
    return folder


def wanted(name: str, tokens: int = 6, n: int = 1) -> Request:
    sampling = SamplingParams(seed=3, max_tokens=tokens, n=n, ignore_eos=True, logprobs=2)
    return request(name, [1, 2, 3], sampling)


async def answer(client: QueueClient, one: Request) -> dict[int, list[tuple[str, tuple[int, ...], int]]]:
    """Choice -> (text, tokens, number of log-probabilities) of each delta."""
    found: dict[int, list[tuple[str, tuple[int, ...], int]]] = {}
    async for output in client.generate(one):
        for delta in output.deltas:
            found.setdefault(delta.index, []).append((delta.text, delta.token_ids, len(delta.logprobs)))
    return found


@pytest.mark.usefixtures("forked_engines")
async def test_answers_equal_the_threads_until_it_is_killed(saved: Path) -> None:
    """And those of the one that takes its place; the whole life of a process, since starting one takes seconds."""
    stages: list[str] = []
    client = EngineProcess(partial(slow_engine, str(saved), CONFIG), CONFIG, lambda stage, _: stages.append(stage))
    with pytest.raises(EngineUnavailableError, match="loading"):
        _ = client.tokenizer
    steps: list[StepStats] = []
    client.on_step(steps.append)
    async with running(client):
        assert stages[-1] == "ready"
        await equals_a_thread(client, saved)
        await leaving_and_signals_are_survived(client, steps)
        await being_killed_fails_what_is_in_flight(client, steps)
        killed_pid = client.pid
        client.restart()
        with pytest.raises(EngineUnavailableError, match="loading again"):
            await answer(client, wanted("early"))
        await client.wait_ready()
        assert client.pid != killed_pid
        assert len((await answer(client, wanted("after", 5)))[0]) == 5
    assert client.state == "dead"
    assert multiprocessing.active_children() == []


async def equals_a_thread(process: EngineProcess, saved: Path) -> None:
    thread = EngineThread(partial(build_engine, str(saved), [], CONFIG), CONFIG)
    async with running(thread):
        assert process.info == thread.info
        assert process.tokenizer.encode("héllo") == thread.tokenizer.encode("héllo")
        requests = [wanted(str(i), 4 + i, n=1 + i % 2) for i in range(4)]
        answers = [await asyncio.gather(*(answer(c, one) for one in requests)) for c in (process, thread)]
        assert answers[0] == answers[1]


async def leaving_and_signals_are_survived(client: EngineProcess, steps: list[StepStats]) -> None:
    assert client.pid is not None
    os.kill(client.pid, signal.SIGINT)  # as Ctrl-C does, which reaches parent and child
    os.kill(client.pid, signal.SIGTERM)
    del steps[:]
    async with aclosing(client.generate(wanted("left", 100, n=2))) as stream:
        await anext(stream)
    assert client.in_flight == 0
    await until(lambda: (steps[-1].running, steps[-1].waiting, steps[-1].kv_cache_usage) == (0, 0, 0.0))
    assert sum(stats.generation_tokens for stats in steps) < 50


async def being_killed_fails_what_is_in_flight(client: EngineProcess, steps: list[StepStats]) -> None:
    task = asyncio.create_task(answer(client, wanted("cut off", 100)))
    count = len(steps)
    await until(lambda: len(steps) > count)
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    killed = time.monotonic()
    with pytest.raises(EngineUnavailableError, match="the engine process was ended by SIGKILL"):
        await task
    assert time.monotonic() - killed < 1
    assert client.state == "dead"
    with pytest.raises(EngineUnavailableError, match="SIGKILL"):
        await answer(client, wanted("late"))
    assert (steps[-1].running, steps[-1].waiting, steps[-1].kv_cache_usage) == (0, 0, 0.0)
    await client.wait_dead()


async def test_a_load_error_is_told() -> None:
    stages: list[tuple[str, float]] = []
    client = EngineProcess(refuse, CONFIG, lambda stage, fraction: stages.append((stage, fraction)))
    async with running(client):
        assert (client.state, client.reason) == ("dead", "loading failed: value.json: kind='x': must be y")
        assert stages == [("reading", 0.5)]
    assert multiprocessing.active_children() == []


async def test_closing_does_not_wait_for_loading() -> None:
    stages: list[str] = []
    client = EngineProcess(hang, CONFIG, lambda stage, _: stages.append(stage))
    client.start()
    await until(lambda: bool(stages))
    started = time.monotonic()
    await client.close()
    assert time.monotonic() - started < 2
    assert (client.state, client.reason) == ("dead", "the server is shutting down")
    assert multiprocessing.active_children() == []


PARENT = """
import asyncio
from mavis_core.api.config import EngineConfig
from mavis_core.process.engine_process import EngineProcess
from tests.spawned import hang
async def main():
    client = EngineProcess(hang, EngineConfig(), lambda *_: print(client.pid, flush=True))
    client.start()
    await client.wait_ready()
asyncio.run(main())
"""


def test_a_child_does_not_outlive_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
        parent.communicate(timeout=20)  # the child has the same stdout: it ends when both are gone
