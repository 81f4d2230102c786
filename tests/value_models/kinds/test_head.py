from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mavis_core.sample.scoring import ScoringInput
from tests.models import HIDDEN, VOCAB, head_network, head_value, objective, tiny_policy
from value_models.kinds.head import HeadValue
from value_models.kinds.head_network import HeadNetwork, unit_rms

CPU = torch.device("cpu")


def step(rows: int, width: int) -> ScoringInput:
    generator = torch.Generator().manual_seed(rows)
    candidates = torch.randint(0, VOCAB, (rows, width), generator=generator)
    hidden = torch.randn(rows, HIDDEN, generator=generator)
    nothing = torch.zeros(rows, 0)
    return ScoringInput(candidates, candidates >= 0, nothing, nothing, nothing, hidden, nothing, 1, nothing)


def scored(value: HeadValue, at: ScoringInput) -> Tensor:
    value.bind([], CPU, torch.float32)
    return value.score(at)


def naive(network: HeadNetwork, hidden: Tensor, embedding: Tensor, m: int) -> float:
    """The module's equation for one state, one token, one objective, number by number."""

    def gelu(x: float) -> float:
        return x * 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def layer(x: list[float], weight: Tensor, bias: list[float]) -> list[float]:
        columns = range(weight.shape[1])
        return [bias[j] + sum(x[i] * float(weight[i, j]) for i in range(len(x))) for j in columns]

    inner = [gelu(x) for x in layer(hidden.tolist(), network.state_in[m], network.state_in_bias[m, 0].tolist())]
    *u, c = layer(inner, network.state_out[m], network.state_out_bias[m, 0].tolist())
    token = [gelu(x) for x in layer(embedding.tolist(), network.token_in[m], network.token_in_bias[m, 0].tolist())]
    a = layer(token, network.token_out[m], [0.0] * len(u))
    return sum(x * y for x, y in zip(u, a, strict=True)) + c


@pytest.mark.parametrize(("rows", "width"), [(3, 5), (5, 5), (1, 1)])
def test_score_is_the_modules_equation(rows: int, width: int) -> None:
    value, at = head_value(tiny_policy("llama"), "a", "b"), step(rows, width)
    found = scored(value, at)
    embedding = unit_rms(tiny_policy("llama").readout.weight)
    for b in range(rows):
        for k in range(width):
            expected = [naive(value.network, at.hidden[b], embedding[at.candidates[b, k]], m) for m in range(2)]
            assert found[b, k].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_reference_is_the_same() -> None:
    value, at = head_value(tiny_policy("llama"), "a", "b", "c"), step(3, 7)
    found = scored(value, at)
    for b in range(3):
        reference = value.reference([1, 2], at.candidates[b].tolist(), at.hidden[b])
        torch.testing.assert_close(found[b], reference, rtol=1e-4, atol=1e-5)


def test_stacked_heads_equal_single_heads() -> None:
    heads = [head_value(tiny_policy("llama"), *names, seed=i) for i, names in enumerate(["a", "bc", "d"])]
    at = step(5, 5)
    stacked = HeadValue.stack(heads)
    assert [o.name for o in stacked.spec.objectives] == ["a", "b", "c", "d"]
    assert stacked.spec.name == "head-a + head-b-c + head-d"
    torch.testing.assert_close(scored(stacked, at), torch.cat([scored(head, at) for head in heads], dim=2))


def test_the_scale_of_the_embedding_does_not_matter() -> None:
    weight = tiny_policy("llama").readout.weight
    assert unit_rms(1000 * weight).pow(2).mean().item() == pytest.approx(1, rel=1e-5)
    at = step(3, 5)
    value = HeadValue("x", [objective("a")], head_network(1, 1), 1000 * weight)
    torch.testing.assert_close(scored(value, at), scored(head_value(tiny_policy("llama"), "a"), at))


def test_a_loaded_head_is_frozen() -> None:
    assert not any(p.requires_grad for p in head_value(tiny_policy("llama"), "a").network.parameters())
