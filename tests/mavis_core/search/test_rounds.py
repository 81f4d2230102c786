"""One round of a search: seeds that never meet, and work that is all done or all gone."""

from __future__ import annotations

import asyncio

import pytest

from mavis_core.search.rounds import all_of, slot_seed


def test_every_place_in_the_beam_has_a_seed_of_its_own_and_the_first_the_requests() -> None:
    found = [slot_seed(seed, slot) for seed in (0, 1, -(2**63), 2**63 - 1) for slot in range(64)]
    assert len(set(found)) == len(found)
    assert all(-(2**63) <= seed < 2**63 for seed in found)
    assert slot_seed(7, 0) == 7
    assert slot_seed(7, 3) == slot_seed(7, 3)


async def number(value: int, wait: float, ended: list[int]) -> int:
    try:
        await asyncio.sleep(wait)
        return value
    finally:
        ended.append(value)


async def test_results_come_in_order_whoever_is_first() -> None:
    ended: list[int] = []
    assert await all_of([number(1, 0.02, ended), number(2, 0, ended)]) == [1, 2]
    assert ended == [2, 1]


async def test_an_error_ends_the_others_before_it_is_raised() -> None:
    ended: list[int] = []

    async def broken() -> int:
        await asyncio.sleep(0.01)
        raise ValueError("out of luck")

    with pytest.raises(ValueError, match="out of luck"):
        await all_of([number(1, 60, ended), broken(), number(2, 60, ended)])
    assert sorted(ended) == [1, 2]


async def test_cancelling_ends_all() -> None:
    ended: list[int] = []
    task = asyncio.create_task(all_of([number(i, 60, ended) for i in range(3)]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [0, 1, 2]
