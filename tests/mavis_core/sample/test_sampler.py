"""The step's one copy to the host: tokens, statistics and what was not finite, for guided and unguided rows."""

from __future__ import annotations

import math

import pytest
import torch

from mavis_core.sample.candidates import find_candidates
from mavis_core.sample.kl import measure_draws
from mavis_core.sample.sampler import Drawn
from mavis_core.sample.tilt import tilted_logprobs

VOCAB, WIDTH, OBJECTIVES = 11, 5, 2


def drawn(guided: int, unguided: int) -> Drawn:
    """Rows whose tokens are 0, 1, 2 ... for unguided ones, the likeliest candidate for guided ones."""
    generator = torch.Generator().manual_seed(guided)
    parts, chosen, measured, scores = [], None, None, None
    if guided:
        logits = torch.randn(guided, VOCAB, generator=generator)
        found = find_candidates(logits, logits, torch.full((guided,), WIDTH), WIDTH)
        values = torch.randn(guided, WIDTH, OBJECTIVES, generator=generator)
        logprobs = tilted_logprobs(found.reference, values.sum(2))
        chosen = torch.zeros(guided, dtype=torch.int64)
        measured = measure_draws(found.reference, logprobs, values, found.valid, chosen)
        parts.append(found.ids[:, 0])
    if unguided:
        parts.append(torch.arange(unguided))
        scores = torch.linspace(-3, 3, unguided)
    return Drawn(torch.cat(parts), scores, chosen, measured)


@pytest.mark.parametrize(("guided", "unguided"), [(0, 3), (3, 0), (2, 3), (5, 5)])
def test_each_row_gets_its_own(guided: int, unguided: int) -> None:
    made = drawn(guided, unguided)
    found = made.to_host()
    assert [draw.token for draw in found] == made.tokens.tolist()
    assert all(draw.finite for draw in found)
    assert [draw.stats is None for draw in found] == [False] * guided + [True] * unguided
    for row, draw in enumerate(found[:guided]):
        assert draw.stats is not None and made.measured is not None
        assert draw.stats.logprob == pytest.approx(made.measured[row, 2].item())
        assert len(draw.stats.values) == len(draw.stats.spreads) == OBJECTIVES


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_only_the_row_that_is_not_finite_says_so(wrong: float) -> None:
    made = drawn(3, 4)
    assert made.measured is not None and made.scores is not None
    made.measured[1, 2] = wrong
    made.scores[2] = wrong
    found = made.to_host()
    assert [draw.finite for draw in found] == [True, False, True, True, True, False, True]
    assert found[1].stats is None


def test_tokens_of_large_vocabularies_are_exact() -> None:
    ids = torch.tensor([2**24 - 1, 262_143, 0])
    assert [draw.token for draw in Drawn(ids, torch.zeros(3), None, None).to_host()] == ids.tolist()
