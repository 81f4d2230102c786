from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.sample.filters import apply_filters

PROBABILITIES = [0.05, 0.4, 0.1, 0.25, 0.2]


def kept(top_k: int = 5, top_p: float = 1.0, min_p: float = 0.0) -> set[int]:
    scaled = torch.tensor([PROBABILITIES]).log()
    found = apply_filters(scaled, torch.tensor([top_k]), torch.tensor([top_p]), torch.tensor([min_p]), top_k)
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
    found = apply_filters(
        scaled,
        torch.tensor([top_k, len(logits)]),
        torch.tensor([top_p, 1.0]),
        torch.tensor([min_p, 0.0]),
        max(top_k, len(logits)),
    )
    narrow = apply_filters(scaled[:1], torch.tensor([top_k]), torch.tensor([top_p]), torch.tensor([min_p]), top_k)
    assert torch.equal(narrow, found[:1]), "what is beyond the widest top_k does not matter"
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
    found = apply_filters(scaled, torch.tensor([3]), torch.tensor([1.0]), torch.tensor([0.0]), 3)
    assert found.tolist() == [[0.0, -math.inf, 1.0]]


def test_equal_logits_keep_the_lower_ids() -> None:
    found = apply_filters(torch.zeros(1, 5), torch.tensor([3]), torch.tensor([1.0]), torch.tensor([0.0]), 3)
    assert found.isfinite().tolist() == [[True, True, True, False, False]]


def test_equal_logits_at_the_edge_keep_the_lower_ids_whatever_the_neighbours_ask_for() -> None:
    logits = torch.tensor([[1.0, 2.0, 1.0, 3.0, 1.0]]).expand(2, 5)
    found = apply_filters(logits, torch.tensor([3, 5]), torch.ones(2), torch.zeros(2), 5)
    assert found[0].isfinite().tolist() == [True, True, False, True, False]
    assert torch.equal(found[1], logits[1])
    alone = apply_filters(logits[:1], torch.tensor([3]), torch.ones(1), torch.zeros(1), 3)
    assert torch.equal(alone, found[:1])
