"""The hash is one hash everywhere, and its Gumbel-max draws are independent samples of the softmax."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.sample import noise
from mavis_core.sample.noise import gumbel, gumbel_reference, position_keys, token_hashes
from mavis_core.schedule.seeds import row_key
from tests.chi_square import p_value

PROBABILITIES = [0.42, 0.05, 0.23, 0.11, 0.19]
LOGITS = torch.tensor(PROBABILITIES).log()
ENOUGH = 1e-3


def draws(keys: Iterable[tuple[int, int]], positions: Iterable[int]) -> list[int]:
    """One token per (seed, choice) and position."""
    rows = torch.tensor([row_key(seed, choice) for seed, choice in keys], dtype=torch.int64)
    made = gumbel(position_keys(rows, torch.tensor(list(positions))[:, None]), token_hashes(len(PROBABILITIES)))
    found: list[int] = (LOGITS + made).argmax(1).tolist()
    return found


@settings(max_examples=40)
@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 127),
    st.integers(0, 2**20),
    st.integers(0, 2**18),
    st.integers(1, 5),
)
def test_equals_plain_integers(seed: int, choice: int, position: int, token: int, rows: int) -> None:
    keys = torch.tensor([row_key(seed + i if seed < 0 else seed - i, choice) for i in range(rows)], dtype=torch.int64)
    ids = torch.tensor([token, 3, 8])
    found = gumbel(position_keys(keys, torch.full((rows, 1), position)), token_hashes(2**18 + 1)[ids])
    expected = [gumbel_reference(seed, choice, position, a) for a in (token, 3, 8)]
    torch.testing.assert_close(found[0], torch.tensor(expected), rtol=2e-5, atol=2e-5)


def test_a_token_has_the_same_noise_as_candidate_and_in_the_vocabulary() -> None:
    keys = position_keys(torch.tensor([row_key(5, 0), row_key(6, 0)], dtype=torch.int64), torch.tensor([[3], [4]]))
    hashes = token_hashes(11)
    ids = torch.tensor([[7, 0, 3], [10, 2, 2]])
    assert torch.equal(gumbel(keys, hashes[ids]), gumbel(keys, hashes).gather(1, ids))


@pytest.mark.parametrize(("rows", "width"), [(1, 300), (3, 100), (5, 40), (4, 7)])
def test_noise_that_is_made_in_parts_is_the_same(rows: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, hashes = position_keys(torch.arange(rows), torch.full((rows, 1), 9)), token_hashes(width)
    whole = gumbel(keys, hashes)
    monkeypatch.setattr(noise, "AT_ONCE", 90)
    assert torch.equal(gumbel(keys, hashes), whole)


def test_the_noise_is_finite_and_bounded() -> None:
    keys = torch.tensor([row_key(seed, 0) for seed in range(300)], dtype=torch.int64)
    noise = gumbel(position_keys(keys, torch.arange(300)[:, None]), token_hashes(5003))
    assert noise.min() > -3.2
    assert noise.max() < 22.9
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert noise.var().item() == pytest.approx(torch.pi**2 / 6, abs=0.02)


@pytest.mark.parametrize("what", ["seeds", "positions", "choices"])
def test_gumbel_max_samples_the_softmax(what: str) -> None:
    count = 20000
    if what == "seeds":
        found = draws(((seed, 0) for seed in range(count)), itertools.repeat(0, count))
    elif what == "positions":
        found = draws(itertools.repeat((11, 0), count), range(count))
    else:
        found = draws(((11, choice) for choice in range(count)), itertools.repeat(2, count))
    assert p_value(found, dict(enumerate(PROBABILITIES))) > ENOUGH


@pytest.mark.parametrize("what", ["neighbouring seeds", "neighbouring positions", "neighbouring choices", "far seeds"])
def test_neighbours_are_independent(what: str) -> None:
    """Pairs of draws against the product distribution."""
    count = 20000
    zeros = [0] * count
    first = draws(((seed, 1) for seed in range(count)), zeros)
    if what == "neighbouring seeds":
        second = draws(((seed + 1, 1) for seed in range(count)), zeros)
    elif what == "neighbouring positions":
        second = draws(((seed, 1) for seed in range(count)), [1] * count)
    elif what == "neighbouring choices":
        second = draws(((seed, 2) for seed in range(count)), zeros)
    else:
        second = draws(((seed + 2**32, 1) for seed in range(count)), zeros)
    exact = {(a, b): PROBABILITIES[a] * PROBABILITIES[b] for a in range(5) for b in range(5)}
    assert p_value(zip(first, second, strict=True), exact) > ENOUGH


def test_consecutive_positions_of_one_row_are_independent() -> None:
    chain = draws(itertools.repeat((3, 0), 40001), range(40001))
    exact = {(a, b): PROBABILITIES[a] * PROBABILITIES[b] for a in range(5) for b in range(5)}
    assert p_value(zip(chain[:-1:2], chain[1::2], strict=True), exact) > ENOUGH


def test_the_test_can_fail() -> None:
    found = draws(((seed, 0) for seed in range(20000)), itertools.repeat(0, 20000))
    assert p_value(found, dict(enumerate([0.40, 0.07, 0.23, 0.11, 0.19]))) < 1e-6


def test_row_keys_differ_by_seed_and_choice() -> None:
    keys = {row_key(seed, choice) for seed in range(-50, 50) for choice in range(100)}
    assert len(keys) == 10000
