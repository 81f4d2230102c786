"""The tilt against plain Python, and the properties that the equation promises."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mavis_core.sample.kl import steering_kl
from mavis_core.sample.tilt import combine, limit_tilt, minmax, tilted_logprobs

# B = K is where a transposed matrix would go unnoticed, so every shape test runs there too.
SHAPES = [(3, 7, 5), (5, 5, 2), (1, 1, 1), (2, 11, 3)]


def draw(rows: int, candidates: int, objectives: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows * 100 + candidates)
    logits = torch.randn(rows, candidates, generator=generator)
    values = torch.randn(rows, candidates, objectives, generator=generator)
    return logits, values, torch.randn(rows, objectives, generator=generator)


@pytest.mark.parametrize("shape", SHAPES)
def test_combine_is_the_weighted_sum(shape: tuple[int, int, int]) -> None:
    _, values, weights = draw(*shape)
    naive = [
        [sum(weights[b, m].item() * values[b, k, m].item() for m in range(shape[2])) for k in range(shape[1])]
        for b in range(shape[0])
    ]
    torch.testing.assert_close(combine(values, weights), torch.tensor(naive))


@pytest.mark.parametrize("shape", SHAPES)
def test_tilted_is_the_papers_equation(shape: tuple[int, int, int]) -> None:
    logits, values, weights = draw(*shape)
    beta = 1.7
    found = tilted_logprobs(logits, beta * combine(values, weights)).exp()
    for b in range(shape[0]):
        mass = [
            math.exp(
                logits[b, k].item() + beta * sum(weights[b, m].item() * values[b, k, m].item() for m in range(shape[2]))
            )
            for k in range(shape[1])
        ]
        torch.testing.assert_close(found[b], torch.tensor([x / sum(mass) for x in mass]))


def test_two_candidates_known_by_hand() -> None:
    """ref = (3/4, 1/4) and a tilt of ln 3 on the second make an even coin; its KL is ln(4/3) / 2."""
    logits = torch.tensor([[3.0, 1.0]]).log()
    found = tilted_logprobs(logits, torch.tensor([[0.0, math.log(3)]]))
    torch.testing.assert_close(found.exp(), torch.tensor([[0.5, 0.5]]))
    assert steering_kl(logits, found).item() == pytest.approx(math.log(4 / 3) / 2, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_tilt_it_is_the_policy(shape: tuple[int, int, int]) -> None:
    logits, values, weights = draw(*shape)
    torch.testing.assert_close(tilted_logprobs(logits, 0.0 * combine(values, weights)), logits.log_softmax(1))


def test_weights_permute_with_objectives() -> None:
    logits, values, weights = draw(3, 7, 3)
    expected = tilted_logprobs(logits, combine(values, weights))
    for order in itertools.permutations(range(3)):
        found = tilted_logprobs(logits, combine(values[:, :, order], weights[:, order]))
        torch.testing.assert_close(found, expected)


def test_rows_permute_with_their_weights() -> None:
    _, values, weights = draw(5, 5, 2)
    order = [4, 2, 0, 3, 1]
    torch.testing.assert_close(combine(values[order], weights[order]), combine(values, weights)[order])


def test_masked_candidates_get_no_probability() -> None:
    logits = torch.tensor([[1.0, -torch.inf, 0.0]])
    found = tilted_logprobs(logits, torch.tensor([[0.0, 0.0, 1.0]])).exp()
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.0, 0.5]]))


def test_minmax_spans_zero_to_one_over_the_valid_candidates() -> None:
    combined = torch.tensor([[2.0, -1.0, 0.5, 99.0], [4.0, 4.0, 4.0, -9.0], [1.0, 3.0, 2.0, 5.0]])
    valid = torch.tensor([[True, True, True, False], [True, True, True, False], [True] * 4])
    found = torch.where(valid, minmax(combined, valid), torch.zeros(()))
    expected = [[1.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.25, 1.0]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_minmax_of_one_candidate_is_zero() -> None:
    assert minmax(torch.tensor([[3.7, 1.0]]), torch.tensor([[True, False]]))[0, 0] == 0


numbers = st.floats(-8, 8, width=32)


@st.composite
def steps(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits and tilt (1, K), some candidates masked."""
    width = draw(st.integers(1, 11))
    logits = [draw(st.one_of(numbers, st.just(-math.inf))) for _ in range(width - 1)]
    tilt = [draw(numbers) for _ in range(width)]
    valid = torch.tensor([[draw(numbers), *logits]])
    return valid, torch.tensor([tilt]).masked_fill(valid == -torch.inf, 0.0)


@settings(max_examples=60)
@given(steps(), st.floats(0, 4, width=32))
def test_the_limit_is_met_and_the_tilt_is_never_raised(step: tuple[Tensor, Tensor], limit: float) -> None:
    logits, tilt = step
    scaled = limit_tilt(logits, tilt, torch.tensor([limit]))
    before = steering_kl(logits, tilted_logprobs(logits, tilt)).item()
    after = steering_kl(logits, tilted_logprobs(logits, scaled)).item()
    assert after <= limit
    assert torch.all(scaled.abs() <= tilt.abs())
    assert torch.all(scaled * tilt >= 0)
    if before <= limit:
        assert torch.equal(scaled, tilt)
    elif before > 1.001 * limit + 1e-4 and limit > 0.01:
        assert after == pytest.approx(limit, rel=1e-2)


@settings(max_examples=60)
@given(steps(), st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_steering_kl_grows_with_gamma(step: tuple[Tensor, Tensor], one: float, other: float) -> None:
    logits, tilt = step
    low, high = sorted((one, other))
    below, above = (steering_kl(logits, tilted_logprobs(logits, gamma * tilt)).item() for gamma in (low, high))
    assert below <= above + 1e-5


def test_each_row_has_its_own_limit() -> None:
    logits, values, weights = draw(5, 5, 2)
    tilt = 3 * combine(values, weights)
    limits = torch.tensor([0.0, 0.05, torch.inf, 0.2, 1000.0])
    found = limit_tilt(logits, tilt, limits)
    for b in range(5):
        alone = limit_tilt(logits[b : b + 1], tilt[b : b + 1], limits[b : b + 1])
        torch.testing.assert_close(found[b : b + 1], alone)
    torch.testing.assert_close(tilted_logprobs(logits, found)[0], logits[0].log_softmax(0), rtol=0, atol=2e-3)
    assert torch.equal(found[2], tilt[2])
    kl = steering_kl(logits, tilted_logprobs(logits, found))
    torch.testing.assert_close(kl[[1, 3]], limits[[1, 3]], rtol=1e-3, atol=0)
