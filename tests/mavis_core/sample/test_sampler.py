"""The stages from logits to tokens, each against its equation, and the step's one copy to the host."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.sample.candidates import find_candidates
from mavis_core.sample.kl import measure_draws
from mavis_core.sample.noise import gumbel_reference, token_hashes
from mavis_core.sample.row_tensors import RowTensors
from mavis_core.sample.sampler import Drawn, Tilted, draw, process_logits, tilt
from mavis_core.sample.scoring import Scored, ScoringInput
from mavis_core.sample.tilt import tilted_logprobs
from tests.mavis_core.rows import VOCAB as TOKENS
from tests.mavis_core.rows import rows

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
    assert [each.token for each in found] == made.tokens.tolist()
    assert all(each.finite for each in found)
    assert [each.stats is None for each in found] == [False] * guided + [True] * unguided
    for row, own in enumerate(each.stats for each in found[:guided]):
        assert own is not None and made.measured is not None
        assert own.logprob == pytest.approx(made.measured[row, 2].item())
        assert len(own.values) == len(own.spreads) == OBJECTIVES


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_only_the_row_that_is_not_finite_says_so(wrong: float) -> None:
    made = drawn(3, 4)
    assert made.measured is not None and made.scores is not None
    made.measured[1, 2] = wrong
    made.scores[2] = wrong
    found = made.to_host()
    assert [each.finite for each in found] == [True, False, True, True, True, False, True]
    assert found[1].stats is None


def test_tokens_of_large_vocabularies_are_exact() -> None:
    ids = torch.tensor([2**24 - 1, 262_143, 0])
    assert [each.token for each in Drawn(ids, torch.zeros(3), None, None).to_host()] == ids.tolist()


POOL = KVPool(CacheSpec(1, 1, 2), 3, 4, torch.float32, torch.device("cpu"))


def tensors(*asked: tuple[dict[str, Any], dict[str, Any]]) -> RowTensors:
    """A row for each (sampling, guidance), guided ones first; its seed is its place."""
    made = [rows([1], SamplingParams(**{"seed": i, **s}), Guidance(**g))[0] for i, (s, g) in enumerate(asked)]
    for row in made:
        row.blocks = [0]
    return RowTensors(made, POOL, token_hashes(TOKENS))


def random_logits(count: int) -> torch.Tensor:
    return 3 * torch.randn(count, TOKENS, generator=torch.Generator().manual_seed(count))


def test_logits_nobody_edits_are_handed_on_as_they_are() -> None:
    raw = random_logits(2)
    assert all(each is raw for each in process_logits(raw, tensors(({}, {}), ({"temperature": 0}, {})))[:3])


def test_edits_come_before_the_temperature_and_filters_last() -> None:
    raw = random_logits(3)
    asked = tensors(({"temperature": 0.5, "logit_bias": {5: 4.0}}, {}), ({"temperature": 0, "top_k": 3}, {}), ({}, {}))
    found = process_logits(raw, asked)
    assert found.raw is raw
    expected = raw.clone()
    expected[0, 5] += 4
    expected[0] /= 0.5
    torch.testing.assert_close(found.scaled, expected)
    kept = found.surviving > -torch.inf
    assert kept.sum(dim=1).tolist() == [TOKENS, 3, TOKENS]
    assert torch.equal(found.surviving[kept], found.scaled[kept])
    assert set(kept[1].nonzero()[:, 0].tolist()) == set(raw[1].topk(3).indices.tolist())


WEIGHTS = [{"a": 1.0, "b": -2.0}, {"b": 0.7}, {"a": 3.0, "c": 0.5}]


def scored(raw: torch.Tensor, asked: RowTensors, future_kls: torch.Tensor | None = None) -> Scored:
    """All rows guided, three objectives."""
    found = find_candidates(raw, raw, asked.k, asked.width, asked.full)
    values = torch.randn(*found.ids.shape, 3, generator=torch.Generator().manual_seed(9)) * asked.named
    step: Any = ScoringInput  # only ``commit`` reads it
    return Scored(found, step, values, future_kls)


@pytest.mark.parametrize("future_kls", [False, True])
def test_the_tilt_is_its_equation(future_kls: bool) -> None:
    """log p = ell / T + beta * sum_m lambda_m V_m - W over the row's own candidates, less its normaliser."""
    beta = (2.0, 0.5, 1.5)
    asked = tensors(*(({}, {"weights": w, "beta": beta[i], "top_k": 4 + i}) for i, w in enumerate(WEIGHTS)))
    raw = random_logits(3)
    one = scored(raw, asked, torch.rand(3, 6) if future_kls else None)
    found = tilt(one, asked)
    assert found is not None
    for i in range(3):
        names, width = list("abc"), 4 + i
        weights = torch.tensor([WEIGHTS[i].get(name, 0.0) for name in names])
        amount = beta[i] * one.values[i] @ weights - (0.0 if one.future_kl is None else one.future_kl[i])
        expected = (raw[i, one.candidates.ids[i]] + amount)[:width].log_softmax(0)
        torch.testing.assert_close(found.logprobs[i, :width], expected, rtol=1e-4, atol=1e-5)
        assert (found.logprobs[i, width:] == -torch.inf).all()


def test_options_of_one_row_leave_the_others_alone() -> None:
    """A bound scales the tilt of its row down to it, "minmax" puts its row's values on 0..1."""
    raw, steer = random_logits(3), {"weights": {"a": 2.0}, "beta": 2.0, "top_k": 5}
    plain = tensors(*[({}, steer)] * 3)
    odd = tensors(({}, steer), ({}, {**steer, "max_kl_per_token": 0.05}), ({}, {**steer, "normalise": "minmax"}))
    one, other = tilt(scored(raw, plain), plain), tilt(scored(raw, odd), odd)
    assert one is not None and other is not None
    torch.testing.assert_close(other.logprobs[0], one.logprobs[0])
    reference = other.candidates.reference.log_softmax(dim=1)
    cost = (other.logprobs.exp() * (other.logprobs - reference)).sum(dim=1)
    assert cost[1].item() == pytest.approx(0.05, abs=1e-3)
    values = 2 * other.values[2, :, 0]
    amount = 2.0 * (values - values.min()) / (values.max() - values.min())
    torch.testing.assert_close(other.logprobs[2], (reference[2] + amount).log_softmax(0), rtol=1e-4, atol=1e-5)


def test_no_guided_row_no_tilt() -> None:
    assert tilt(None, tensors(({}, {}))) is None


def test_draws_are_the_likeliest_with_noise() -> None:
    """Guided rows among their candidates, others over what survives; greedy ones without noise."""
    steer = {"weights": {"a": 1.0}, "top_k": 5}
    asked = tensors(({}, steer), ({"temperature": 0}, steer), ({}, {}), ({"temperature": 0}, {}))
    raw = random_logits(4)
    found = find_candidates(raw[:2], raw[:2], asked.k, asked.width)
    tilted = Tilted(found, torch.zeros(2, 5, 3), tilted_logprobs(found.reference, torch.randn(2, 5)))
    drawn = draw(raw, tilted, asked)
    noise = [[gumbel_reference(i, 0, 0, a) if i % 2 == 0 else 0.0 for a in range(TOKENS)] for i in range(4)]
    for i in range(2):
        scores = [p + noise[i][a] for a, p in zip(found.ids[i].tolist(), tilted.logprobs[i].tolist(), strict=True)]
        assert drawn.chosen is not None
        assert drawn.chosen[i] == scores.index(max(scores))
        assert drawn.tokens[i] == found.ids[i, drawn.chosen[i]]
    for i in range(2, 4):
        scores = [p + noise[i][a] for a, p in enumerate(raw[i].tolist())]
        assert drawn.tokens[i] == scores.index(max(scores))
        assert drawn.scores is not None
        assert drawn.scores[i - 2].item() == pytest.approx(max(scores), abs=1e-4)


@pytest.mark.parametrize("beside", [3, 7])
def test_ranked_choices_take_their_rank_and_the_last_there_is(beside: int) -> None:
    """Their own last, also in a batch where another row has more candidates."""
    made = rows([1], SamplingParams(n=4, seed=1, ranked=True), Guidance({"a": 1.0}, top_k=3))
    made += rows([1], SamplingParams(seed=1), Guidance({"a": 1.0}, top_k=beside))
    for row in made:
        row.blocks = [0]
    asked = RowTensors(made, POOL, token_hashes(TOKENS))
    raw = random_logits(1).expand(5, -1).contiguous()
    found = find_candidates(raw, raw, asked.k, asked.width)
    amount = torch.tensor([0.0, 9.0, 4.5] + [0.0] * (beside - 3)).expand(5, -1)
    logprobs = tilted_logprobs(found.reference, amount)
    order = logprobs[0, :3].argsort(descending=True).tolist()
    drawn = draw(raw, Tilted(found, amount[:, :, None], logprobs), asked)
    assert drawn.chosen is not None
    assert drawn.chosen.tolist()[:4] == [*order, order[-1]]
