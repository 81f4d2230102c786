from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.api.sampling_params import SamplingParams
from mavis_core.sample.filters import Filters

PROBABILITIES = [0.05, 0.4, 0.1, 0.25, 0.2]


def filtered(scaled: torch.Tensor, *asked: SamplingParams) -> torch.Tensor:
    """What is left of ``scaled``, a row for each of ``asked``."""
    filters = Filters.of(asked, scaled.shape[1], scaled.device)
    return scaled if filters is None else filters.apply(scaled)


def kept(top_k: int = 5, top_p: float = 1.0, min_p: float = 0.0) -> set[int]:
    scaled = torch.tensor([PROBABILITIES]).log()
    found = filtered(scaled, SamplingParams(top_k=top_k, top_p=top_p, min_p=min_p))
    assert all(found[0, a] in (scaled[0, a], -math.inf) for a in range(5))
    return {a for a in range(5) if found[0, a] > -math.inf}


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 1}, {1}),
        ({"top_k": 3}, {1, 3, 4}),
        ({"top_p": 0.39}, {1}),
        ({"top_p": 0.41}, {1, 3}),
        ({"top_p": 0.66}, {1, 3, 4}),
        ({"min_p": 0.49}, {1, 3, 4}),
        ({"min_p": 0.51}, {1, 3}),
        ({"min_p": 1.0}, {1}),
        ({"top_k": 2, "top_p": 0.61}, {1}),  # 0.4 / (0.4 + 0.25) = 0.615: mass counts after top_k
        ({"top_k": 2, "top_p": 0.62}, {1, 3}),
        ({"top_p": 1e-6}, {1}),
    ],
)
def test_known_by_hand(settings: dict[str, float], tokens: set[int]) -> None:
    assert kept(**settings) == tokens  # type: ignore[arg-type]


@settings(max_examples=60)
@given(
    st.lists(st.floats(-6, 6, width=32), min_size=2, max_size=13, unique=True),
    st.integers(1, 15),
    st.floats(2**-7, 1, width=32),
    st.floats(0, 1, width=32),
)
def test_equals_plain_python(logits: list[float], top_k: int, top_p: float, min_p: float) -> None:
    scaled = torch.tensor([logits, logits[::-1]])
    asked = SamplingParams(top_k=top_k, top_p=top_p, min_p=min_p)
    found = filtered(scaled, asked, SamplingParams())
    assert torch.equal(filtered(scaled[:1], asked), found[:1]), "a row does not depend on its neighbours"
    assert torch.equal(found[1], scaled[1]), "a row with every filter off"
    order = sorted(range(len(logits)), key=lambda a: -logits[a])
    order = [a for a in order if math.exp(logits[a] - logits[order[0]]) >= min_p * (1 - 1e-6)][:top_k]
    mass = [math.exp(logits[a] - logits[order[0]]) for a in order]
    before = [sum(mass[:i]) / sum(mass) for i in range(len(order))]
    must = {order[0]} | {a for a, x in zip(order, before, strict=True) if x < top_p - 1e-5}
    may = {order[0]} | {a for a, x in zip(order, before, strict=True) if x < top_p + 1e-5}
    survivors = {a for a in range(len(logits)) if found[0, a] > -math.inf}
    close = [a for a in range(len(logits)) if abs(math.exp(logits[a] - max(logits)) - min_p) < 1e-5]
    if not close:
        assert must <= survivors <= may


def test_banned_tokens_stay_banned() -> None:
    scaled = torch.tensor([[0.0, -torch.inf, 1.0]])
    found = filtered(scaled, SamplingParams(top_k=3))
    assert found.tolist() == [[0.0, -math.inf, 1.0]]


def test_equal_logits_keep_the_lower_ids() -> None:
    found = filtered(torch.zeros(1, 5), SamplingParams(top_k=3))
    assert found.isfinite().tolist() == [[True, True, True, False, False]]


def test_equal_logits_at_the_edge_keep_the_lower_ids_whatever_the_neighbours_ask_for() -> None:
    logits = torch.tensor([[1.0, 2.0, 1.0, 3.0, 1.0]]).expand(2, 5)
    found = filtered(logits, SamplingParams(top_k=3), SamplingParams())
    assert found[0].isfinite().tolist() == [True, True, False, True, False]
    assert torch.equal(found[1], logits[1])
    alone = filtered(logits[:1], SamplingParams(top_k=3))
    assert torch.equal(alone, found[:1])


def test_equal_logits_share_what_top_p_leaves_by_id() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    for top_p, count in ((0.2, 1), (0.25, 1), (0.3, 2), (0.75, 3), (0.8, 4)):
        assert filtered(logits, SamplingParams(top_p=top_p)).isfinite().sum() == count
    both = filtered(torch.zeros(1, 8), SamplingParams(top_k=4, top_p=0.5))
    assert both.isfinite().tolist() == [[True, True] + [False] * 6], "half of what top_k leaves"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_is_not_finite_stays_so_for_all_to_see(bad: float) -> None:
    logits = torch.randn(2, 9)
    logits[0, 3] = bad
    found = filtered(logits, *[SamplingParams(top_k=2, top_p=0.5)] * 2)
    assert not found[0].max().isfinite()
    assert found[1].isfinite().sum() <= 2
    assert filtered(torch.full((1, 3), -math.inf), SamplingParams(top_k=1)).max() == -math.inf


@pytest.mark.parametrize("top_p", [0.1, 0.9, 0.99999])
def test_a_large_vocabulary_is_cut_where_its_sorted_sums_are(top_p: float) -> None:
    torch.manual_seed(1)
    logits = 3 * torch.randn(3, 50_000)
    asked = SamplingParams(top_p=top_p)
    found = filtered(logits, asked, asked, asked)
    assert torch.equal(found[:1], filtered(logits[:1], asked)), "however far its neighbours reach"
    probabilities = logits.double().softmax(dim=1).sort(dim=1, descending=True).values
    last = (found > -math.inf).sum(dim=1, keepdim=True) - 1
    until = probabilities.cumsum(dim=1).gather(1, last)
    assert ((until - probabilities.gather(1, last) < top_p + 1e-6) & (until > top_p - 1e-6)).all()
