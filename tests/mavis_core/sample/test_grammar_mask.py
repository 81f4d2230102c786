"""The grammar's mask: packed bits laid over the rows that have a grammar, and nobody else's."""

from __future__ import annotations

from typing import Any

import torch

from mavis_core.api.sampling_params import SamplingParams
from mavis_core.sample.grammar_mask import GrammarMask
from mavis_core.schedule.row import Row
from tests.mavis_core.rows import rows

VOCAB, CPU = 37, torch.device("cpu")  # no whole number of 32-bit words


class Allowing:
    """A matcher that allows some tokens; ``error`` is what it cannot go on for."""

    def __init__(self, *tokens: int, error: str | None = None) -> None:
        self.tokens, self.error = tokens, error

    def allowed(self, stop_ids: tuple[int, ...], banned: bool) -> bytearray:
        bits = bytearray(-(-VOCAB // 32) * 4)
        for token in self.tokens:
            bits[token // 8] |= 1 << token % 8
        return bits


class Raising(Allowing):
    def allowed(self, stop_ids: tuple[int, ...], banned: bool) -> bytearray:
        raise ValueError("out of luck")


def row(matcher: Any) -> Row:
    (made,) = rows([1, 2], SamplingParams())
    made.matcher = matcher
    return made


def masked(*matchers: Any) -> tuple[list[Row], list[set[int]]]:
    """Tokens that are left to each row."""
    batch = [row(matcher) for matcher in matchers]
    logits = torch.randn(len(batch), VOCAB, generator=torch.Generator().manual_seed(5))
    before = logits.clone()
    found = GrammarMask(batch, VOCAB, CPU).apply(logits)
    assert torch.equal(logits, before)
    kept = found > -torch.inf
    assert torch.equal(found[kept], logits[kept])
    return batch, [set(left.nonzero()[:, 0].tolist()) for left in kept]


def test_each_row_keeps_what_its_own_grammar_allows() -> None:
    _, left = masked(Allowing(0, 7, 8, 31, 32, 36), Allowing(5))
    assert left == [{0, 7, 8, 31, 32, 36}, {5}]


def test_rows_without_a_grammar_keep_everything() -> None:
    _, left = masked(None, Allowing(3), None)
    assert left == [set(range(VOCAB)), {3}, set(range(VOCAB))]


def test_a_row_whose_grammar_fails_keeps_everything_and_ends_alone() -> None:
    """It must draw something, since its step is shared; what it draws is nobody's."""
    batch, left = masked(Allowing(1, error="too costly"), Raising(), Allowing(2))
    assert left == [set(range(VOCAB)), set(range(VOCAB)), {2}]
    assert [None if each.fault is None else each.fault.param for each in batch] == ["structure", None, None]
    assert batch[0].fault is not None and batch[0].fault.message == "too costly"
    assert batch[1].fault is not None and "in its grammar: ValueError" in batch[1].fault.message
    assert batch[2].fault is None
