"""Plans to batches: which tokens run, which rows draw and in which order, and what is kept from step to step."""

from __future__ import annotations

from dataclasses import replace

import torch

from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.batcher import Batcher, StepBatch
from mavis_core.model.attention import DecodeAttention, MixedAttention, PrefillAttention
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.schedule.row import Row
from mavis_core.schedule.scheduler import Plan, Scheduler
from tests.mavis_core.rows import VOCAB, rows

BLOCK, BLOCKS = 3, 40
STEERED = Guidance({"a": 1.0})


class Steps:
    """A scheduler and a batcher, and rows that take the token 9 whenever they draw."""

    def __init__(self, tokens: int = 64) -> None:
        pool = KVPool(CacheSpec(1, 1, 2), BLOCKS, BLOCK, torch.float32, torch.device("cpu"))
        self.scheduler = Scheduler(BLOCKS, BLOCK, 8, tokens, True, False)
        self.batcher = Batcher(pool, VOCAB, torch.device("cpu"))

    def add(self, name: str, prompt: list[int], guidance: Guidance | None = None, n: int = 1) -> list[Row]:
        made = rows(prompt, SamplingParams(n=n, seed=1, max_tokens=8), guidance, name)
        self.scheduler.add(made[0])
        return made

    def step(self) -> tuple[Plan, StepBatch]:
        plan = self.scheduler.schedule()
        batch = self.batcher.prepare(plan)
        seen = replace(batch, tokens=batch.tokens.clone(), positions=batch.positions.clone())  # before they move on
        if batch.rows is not None:
            for row in batch.rows.rows:
                row.tokens.append(9)
            batch.rows.advance(torch.full((len(batch.rows.rows),), 9))
        return plan, seen


def names(batch: StepBatch) -> list[str]:
    assert batch.rows is not None
    return [row.request.id for row in batch.rows.rows]


def drawn_from(batch: StepBatch) -> list[tuple[int, int]]:
    """(token, position) that each drawing row's hidden state is taken from."""
    at = range(len(batch.tokens)) if batch.last is None else batch.last.tolist()
    return [(int(batch.tokens[i]), int(batch.positions[i])) for i in at]


def test_prompts_lie_one_after_the_other_and_draw_from_their_ends() -> None:
    steps = Steps()
    steps.add("plain", [3, 4, 5, 6])
    steps.add("steered", [7, 8], STEERED)
    _, batch = steps.step()
    assert isinstance(batch.attention, PrefillAttention)
    assert batch.tokens.tolist() == [3, 4, 5, 6, 7, 8]
    assert batch.positions.tolist() == [0, 1, 2, 3, 0, 1]
    assert names(batch) == ["steered", "plain"]  # guided rows are a prefix
    assert drawn_from(batch) == [(8, 1), (6, 3)]


def test_a_chunk_that_ends_before_its_prompt_draws_nothing() -> None:
    steps = Steps(tokens=8)
    steps.add("long", list(range(10, 21)))
    _, batch = steps.step()
    assert batch.rows is None
    assert batch.tokens.tolist() == list(range(10, 18))
    _, batch = steps.step()
    assert batch.tokens.tolist() == [18, 19, 20]
    assert batch.positions.tolist() == [8, 9, 10]
    assert drawn_from(batch) == [(20, 10)]


def test_steady_rows_keep_their_tensors_and_feed_back_what_they_drew() -> None:
    steps = Steps()
    steps.add("plain", [3, 4, 5])
    steps.add("steered", [7, 8], STEERED)
    steps.step()
    _, second = steps.step()
    kept = second.rows
    for position in (3, 4, 5):
        _, batch = steps.step()
        assert batch.rows is kept
        assert isinstance(batch.attention, DecodeAttention)
        assert batch.last is None
        assert batch.tokens.tolist() == [9, 9]
        assert batch.positions.tolist() == [position, position + 1]
        for row, table in zip(batch.rows.rows, batch.rows.block_table, strict=True) if batch.rows else ():
            assert table[: len(row.blocks)].tolist() == row.blocks


def test_who_joins_runs_beside_those_who_decode() -> None:
    steps = Steps()
    steps.add("old", [3, 4, 5])
    steps.step()
    steps.add("new", [7, 8], STEERED)
    _, batch = steps.step()
    assert isinstance(batch.attention, MixedAttention)
    assert batch.tokens.tolist() == [9, 7, 8]
    assert batch.positions.tolist() == [3, 0, 1]
    assert names(batch) == ["new", "old"]
    assert drawn_from(batch) == [(8, 1), (9, 3)]


def test_a_chunk_that_draws_nothing_leaves_the_decoding_rows_as_they_are() -> None:
    steps = Steps(tokens=9)
    steps.add("old", [3, 4, 5])
    steps.step()
    _, decode = steps.step()
    steps.add("long", list(range(10, 30)))
    _, batch = steps.step()
    assert batch.rows is decode.rows
    assert names(batch) == ["old"]
    assert batch.tokens.tolist() == [9, *range(10, 18)]
    assert drawn_from(batch) == [(9, 4)]


def test_choices_of_one_prompt_all_draw_from_its_end() -> None:
    steps = Steps()
    steps.add("many", [3, 4, 5, 6], n=3)
    _, batch = steps.step()
    assert batch.tokens.tolist() == [3, 4, 5, 6]
    assert names(batch) == ["many"] * 3
    assert drawn_from(batch) == [(6, 3)] * 3
