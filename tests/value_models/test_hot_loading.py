"""Values from folders into a running engine, on a thread and in a process: the engine answers on, refusals say why."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import EngineUnavailableError, LoadError, UnknownValueError, ValueConflictError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.model.policy import Policy
from mavis_core.process.engine_process import EngineProcess
from mavis_core.process.engine_thread import EngineThread
from mavis_core.process.queue_client import QueueClient
from tests.forked import forked_engines
from tests.models import head_network, request
from tests.value_models.configs import value_config
from value_models.kinds.head import save_head
from value_models.loading import FolderLoader, build_engine

__all__ = ["forked_engines"]
CONFIG = EngineConfig(max_num_seqs=4, block_size=4, device="cpu")


@pytest.fixture
def values(tmp_path: Path, model: Path) -> Path:
    policy = Policy.load(str(model), torch.device("cpu"), torch.float32)
    for seed, name in enumerate("ab"):
        save_head(tmp_path / "values" / f"value-{name}", value_config(policy, name), head_network(1, seed))
    return tmp_path / "values"


def wanted(name: str, tokens: int = 4, **weights: float) -> Request:
    sampling = SamplingParams(max_tokens=tokens, seed=1, ignore_eos=True)
    return request(name, [1, 2, 3], sampling, Guidance(weights, beta=1.0))


async def answer(client: QueueClient, one: Request) -> list[int]:
    async with aclosing(client.generate(one)) as outputs:
        return [token async for output in outputs for delta in output.deltas for token in delta.token_ids]


@asynccontextmanager
async def running(kind: type[EngineThread] | type[EngineProcess], build: Any) -> AsyncIterator[QueueClient]:
    client = kind(build, CONFIG)
    client.start()
    await client.wait_ready()
    assert client.state == "ready", client.reason
    try:
        yield client
    finally:
        await client.close()


def objectives(client: QueueClient) -> list[str]:
    return [objective.name for objective in client.info.objectives]


@pytest.mark.parametrize("kind", [EngineThread, EngineProcess])
@pytest.mark.usefixtures("forked_engines")
async def test_values_come_and_go(kind: type[EngineThread] | type[EngineProcess], model: Path, values: Path) -> None:
    build = partial(build_engine, str(model), [str(values / "value-a")], CONFIG)
    async with running(kind, build) as client:
        long = asyncio.create_task(answer(client, wanted("long", 100, a=1.0)))
        info = await client.load_value(str(values / "value-b"))
        assert info == client.info
        assert objectives(client) == ["a", "b"]
        assert await answer(client, wanted("r", a=1.0, b=1.0))
        with pytest.raises(ValueConflictError, match="a value named 'value-b' is loaded already"):
            await client.load_value(str(values / "value-b"))
        with pytest.raises(ValueConflictError, match="'value-a' is in use by 1 request"):
            await client.unload_value("value-a")
        with pytest.raises(UnknownValueError, match="no value named 'b' is loaded; loaded: value-a, value-b"):
            await client.unload_value("b")
        with pytest.raises(LoadError, match="no such folder"):
            await client.load_value(str(values / "missing"))
        assert len(await long) == 100
        await client.unload_value("value-a")
        assert objectives(client) == ["b"]
    with pytest.raises(EngineUnavailableError):
        await client.load_value(str(values / "value-a"))


async def test_a_value_of_another_policy_is_refused(model: Path, values: Path) -> None:
    config = values / "value-b" / "config.json"
    config.write_text(config.read_text().replace(json.loads(config.read_text())["policy"]["fingerprint"], "0" * 16))
    async with running(EngineThread, partial(build_engine, str(model), [], CONFIG)) as client:
        with pytest.raises(LoadError, match=r"trained for policy .* differs from .* in fingerprint"):
            await client.load_value(str(values / "value-b"))
        assert objectives(client) == []


async def test_tokens_come_while_a_value_is_read(monkeypatch: pytest.MonkeyPatch, model: Path, values: Path) -> None:
    """A whole answer is given between the start and the end of reading."""
    gate = threading.Event()
    load = FolderLoader.load

    def slowly(self: FolderLoader, source: str) -> Any:
        assert gate.wait(60)
        return load(self, source)

    monkeypatch.setattr(FolderLoader, "load", slowly)
    async with running(EngineThread, partial(build_engine, str(model), [], CONFIG)) as client:
        loading = asyncio.create_task(client.load_value(str(values / "value-a")))
        await asyncio.sleep(0)
        assert len(await answer(client, wanted("r", 50))) == 50
        assert not loading.done()
        gate.set()
        await loading
        assert await answer(client, wanted("r", a=1.0))


async def test_who_waits_for_a_value_is_told_of_the_engines_end(
    monkeypatch: pytest.MonkeyPatch, model: Path, values: Path
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(FolderLoader, "load", lambda *_: gate.wait(60))
    async with running(EngineThread, partial(build_engine, str(model), [], CONFIG)) as client:
        loading = asyncio.create_task(client.load_value(str(values / "value-a")))
        await asyncio.sleep(0)
        await client.close()
        gate.set()
        with pytest.raises(EngineUnavailableError, match="shutting down"):
            await loading
