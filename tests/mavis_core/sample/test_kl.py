from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.sample.candidates import Candidates, find_candidates
from mavis_core.sample.kl import DrawStats, measure_draws, read_draw, steering_kl
from mavis_core.sample.noise import gumbel, position_keys, token_hashes
from mavis_core.sample.tilt import tilted_logprobs
from mavis_core.schedule.seeds import row_key


def served(found: Candidates, logprobs: torch.Tensor, chosen: int = 0) -> list[DrawStats]:
    """What the engine makes of rows that draw their candidate ``chosen``, without objectives."""
    rows, width = logprobs.shape
    measured = measure_draws(
        found.reference, logprobs, torch.zeros(rows, width, 0), found.valid, torch.full((rows,), chosen)
    )
    stats = [read_draw(row) for row in measured.tolist()]
    assert None not in stats
    return [row for row in stats if row is not None]


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 23), st.integers(1, 23), st.floats(0, 8))
def test_the_parts_sum_to_the_kl_over_the_whole_vocabulary(seed: int, vocab: int, k: int, beta: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, vocab, generator=generator) * 2
    width = min(k, vocab)
    found = find_candidates(logits, logits, torch.full((3,), width), width)
    logprobs = tilted_logprobs(found.reference, beta * torch.randn(3, width, generator=generator))
    for b, stats in enumerate(served(found, logprobs)):
        reference = logits[b].double().log_softmax(0)
        p = torch.zeros(vocab, dtype=torch.float64)
        p[found.ids[b]] = logprobs[b].double().exp()
        exact = sum(x * (math.log(x) - reference[a].item()) for a, x in enumerate(p.tolist()) if x > 0)
        assert stats.steering + stats.truncation == pytest.approx(exact, abs=2e-5)


def test_truncation_alone_is_what_a_small_k_pays() -> None:
    """Half the mass kept costs ln 2, without any tilt."""
    logits = torch.tensor([[0.3, 0.25, 0.2, 0.15, 0.1]]).log()
    found = find_candidates(logits, logits, torch.tensor([2]), 2)
    p = tilted_logprobs(found.reference, torch.zeros(1, 2))
    (stats,) = served(found, p)
    assert stats.steering == pytest.approx(0, abs=1e-7)
    assert stats.truncation == pytest.approx(-math.log(0.55), abs=1e-6)
    assert stats.base_mass == pytest.approx(0.55, abs=1e-6)


def test_steering_ignores_masked_candidates_and_the_normaliser() -> None:
    reference = torch.tensor([[0.5, 0.25, 0.0]]).log()
    p = torch.tensor([[0.5, 0.5, 0.0]]).log()
    exact = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    assert steering_kl(reference, p).item() == pytest.approx(exact, abs=1e-6)
    assert steering_kl(reference + 3.0, p).item() == pytest.approx(exact, abs=1e-6)


def test_the_one_sample_estimate_is_unbiased() -> None:
    """Its exact mean over p is the KL, and so is the mean over many Gumbel-max draws, within four errors."""
    logits = torch.tensor([[1.0, 0.0, -1.0, 0.5, 0.2, -0.3, 0.9]])
    found = find_candidates(logits, logits, torch.tensor([5]), 5)
    logprobs = tilted_logprobs(found.reference, torch.tensor([[0.0, 2.0, -1.0, 0.5, 1.0]]))
    each_drawn = [served(found, logprobs, chosen)[0] for chosen in range(5)]
    exact = each_drawn[0].steering + each_drawn[0].truncation
    each = torch.tensor([stats.sampled for stats in each_drawn])
    assert (logprobs[0].exp() * each).sum().item() == pytest.approx(exact, abs=1e-6)
    draws = 20000
    keys = torch.tensor([row_key(7, choice) for choice in range(draws)], dtype=torch.int64)
    noise = gumbel(position_keys(keys, torch.zeros(draws, 1, dtype=torch.int64)), token_hashes(7)[found.ids[0]])
    samples = each[(logprobs + noise).argmax(1)]
    assert samples.mean().item() == pytest.approx(exact, abs=4 * samples.std().item() / draws**0.5)
    assert samples.std().item() > exact


@pytest.mark.parametrize("valid", [7, 5])
def test_what_is_served_is_the_divergence_that_the_budget_limits(valid: int) -> None:
    generator = torch.Generator().manual_seed(valid)
    reference = (torch.randn(3, 11, generator=generator)).log_softmax(dim=1)[:, :7].clone()
    reference[:, valid:] = -torch.inf
    logprobs = (reference + torch.randn(3, 7, generator=generator)).log_softmax(dim=1)
    mask = None if valid == 7 else reference > -torch.inf
    found = served(Candidates(torch.arange(7).expand(3, 7), reference, mask), logprobs)
    assert [stats.steering for stats in found] == pytest.approx(steering_kl(reference, logprobs).tolist(), abs=1e-6)
    assert [stats.truncation for stats in found] == pytest.approx((-reference.logsumexp(1)).tolist(), abs=1e-6)


def test_values_of_the_drawn_candidate_and_their_spread_over_the_valid_ones() -> None:
    reference = torch.tensor([[0.5, 0.25, 0.0], [0.25, 0.5, 0.125]]).log()
    values = torch.tensor([[[1.0, -2.0], [4.0, -3.0], [9.0, 9.0]], [[0.5, 0.0], [1.0, 1.0], [3.0, -1.0]]])
    chosen = torch.tensor([1, 2])
    measured = measure_draws(reference, reference.log_softmax(1), values, reference > -torch.inf, chosen)
    first, second = (read_draw(row) for row in measured.tolist())
    assert first is not None and second is not None
    assert (first.values, first.spreads) == ([4.0, -3.0], [3.0, 1.0])
    assert (second.values, second.spreads) == ([3.0, -1.0], [2.5, 2.0])
    assert second.base_logprob == pytest.approx(math.log(0.125))


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["logits", "values"])
def test_a_number_that_is_not_finite_shows_wherever_it_is(wrong: float, where: str) -> None:
    for at in range(3):
        logits, values = torch.tensor([[0.1, 0.2, 0.3, 0.4]]), torch.zeros(1, 3, 2)
        if where == "logits":
            logits[0, at] = wrong
        else:
            values[0, at, 1] = wrong
        found = find_candidates(logits, logits, torch.tensor([3]), 3, full=True)
        logprobs = tilted_logprobs(found.reference, values.sum(2))
        measured = measure_draws(found.reference, logprobs, values, found.valid, logprobs.argmax(1))
        assert read_draw(measured[0].tolist()) is None
