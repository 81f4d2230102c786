"""Requests without a seed differ; an engine's seed makes them the same again, from one start to the next."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import SearchParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from mavis_core.process.engine_thread import EngineThread
from mavis_core.process.queue_client import QueueClient
from mavis_core.schedule.seeds import Seeds
from tests.models import mixed_values, tiny_policy

PLAIN = SamplingParams(max_tokens=8, ignore_eos=True)
STEERED = Guidance({"a": 1.0}, beta=0.5)
SEARCHED = Guidance({"a": 1.0}, beta=0.5, search=SearchParams("best_of", successors=2))


def build(seed: int | None) -> Engine:
    return Engine(tiny_policy("llama"), mixed_values("llama"), EngineConfig(block_size=3, seed=seed))


def unseeded(sampling: SamplingParams = PLAIN, guidance: Guidance | None = None) -> Request:
    """Its id is another one each time, as a server's are."""
    return Request(uuid.uuid4().hex, (3, 5, 7), sampling, guidance or Guidance())


SEQUENCE = [(PLAIN, None), (PLAIN, None), (replace(PLAIN, n=2), STEERED), (PLAIN, SEARCHED), (PLAIN, SEARCHED)]


def test_each_request_without_a_seed_gets_the_next_one() -> None:
    first, again, other = Seeds(7), Seeds(7), Seeds(8)
    given = [first.seeded(unseeded()).sampling.seed for _ in range(3)]
    assert len(set(given)) == 3
    own = unseeded(replace(PLAIN, seed=-5))
    assert again.seeded(own) is own  # and takes nobody's turn
    assert [again.seeded(unseeded()).sampling.seed for _ in range(3)] == given
    assert other.seeded(unseeded()).sampling.seed not in given
    assert Seeds(None).seeded(unseeded()).sampling.seed != Seeds(None).seeded(unseeded()).sampling.seed


@pytest.mark.parametrize(("seed", "same"), [(7, True), (None, False)])
def test_an_engine_without_a_server(seed: int | None, same: bool) -> None:
    def answers() -> list[Any]:
        guidance = [Guidance(), Guidance(), STEERED, SEARCHED, SEARCHED]
        found = generate(build(seed), [[3, 5, 7]] * 5, PLAIN, guidance)
        return [completion.token_ids for completions in found for completion in completions]

    first = answers()
    assert first[0] != first[1]
    assert first[3] != first[4]
    assert (answers() == first) is same


class Untexted(EngineThread):
    """Searches ask for the tokenizer, which the tiny policy has none of."""

    @property
    def tokenizer(self) -> Any:
        return None


async def ask(client: QueueClient, sampling: SamplingParams, guidance: Guidance | None) -> list[tuple[int, int]]:
    async with aclosing(client.generate(unseeded(sampling, guidance))) as outputs:
        found = [(d.index, token) async for output in outputs for d in output.deltas for token in d.token_ids]
    return sorted(found, key=lambda pair: pair[0])


async def sequence(seed: int | None) -> list[list[tuple[int, int]]]:
    """Answers of one start of an engine, as a server asks for them."""
    client = Untexted(lambda _: build(seed), EngineConfig(seed=seed))
    client.start()
    await client.wait_ready()
    try:
        answers = [await ask(client, *each) for each in SEQUENCE]
        return answers + await asyncio.gather(*(ask(client, *each) for each in SEQUENCE))
    finally:
        await client.close()


async def test_an_engine_that_starts_again_repeats_itself() -> None:
    first = await sequence(11)
    assert await sequence(11) == first
    assert first[0] != first[1]
    assert first[2][:8] != first[2][8:]
    assert first[3] != first[4]
    assert first[:5] != first[5:]


async def test_without_a_seed_it_does_not() -> None:
    first, second = await sequence(None), await sequence(None)
    assert all(one != other for one, other in zip(first, second, strict=True))
