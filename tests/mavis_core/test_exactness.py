"""Point D: on a token MDP solved by backward induction the engine samples the optimal policy, and says its KL.

Five tokens, token 0 ends the text, at most five tokens, a random policy and random terminal rewards over whole
histories. The soft-optimal policy pi* maximises E[beta R] - KL(pi || ref): pi*(text) ~ ref(text) exp(beta R(text)),
and with soft Q*(s, a) = log E_ref[exp(beta R) | s, a] token by token pi*(a | s) ~ ref(a | s) exp(Q*(s, a)).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from tests.chi_square import p_value
from tests.models import objective
from tests.table import TablePolicy, TableValue, number

VOCAB, HORIZON, END, PROMPT = 5, 5, 0, 3
BASE = VOCAB + 1
BETA = 2.0
WEIGHTS = {"a": 1.0, "b": 1.0, "mix": 1.0}
Text = tuple[int, ...]
Distribution = dict[Text, float]
POLICY = torch.randn(BASE ** (HORIZON + 1), VOCAB, generator=torch.Generator().manual_seed(1)) * 1.2


def ended(text: Text) -> bool:
    return len(text) == HORIZON or text[-1:] == (END,)


def histories(text: Text = ()) -> Iterator[Text]:
    """Every history, the longest first below each."""
    if not ended(text):
        for token in range(VOCAB):
            yield from histories((*text, token))
    yield text


def index(text: Text) -> int:
    return number((PROMPT, *text), BASE)


def reference(text: Text) -> list[float]:
    """log pi_ref(. | text), in double precision."""
    found: list[float] = POLICY[index(text)].double().log_softmax(0).tolist()
    return found


@cache
def rewards() -> dict[str, dict[Text, float]]:
    generator = torch.Generator().manual_seed(2)
    ends = [text for text in histories() if ended(text)]
    a, b = torch.randn(2, len(ends), generator=generator, dtype=torch.float64).tolist()
    mixed = [0.7 * x - 0.4 * y for x, y in zip(a, b, strict=True)]
    return {name: dict(zip(ends, column, strict=True)) for name, column in (("a", a), ("b", b), ("mix", mixed))}


@cache
def soft_value(name: str) -> dict[Text, float]:
    """log E_ref[exp(beta R) | text], nats, by backward induction."""
    solved: dict[Text, float] = {}
    for text in histories():
        if ended(text):
            solved[text] = BETA * rewards()[name][text]
        else:
            each = [r + solved[*text, token] for token, r in enumerate(reference(text))]
            solved[text] = math.log(sum(math.exp(x) for x in each))
    return solved


@cache
def value_table() -> torch.Tensor:
    """Q* / beta of all objectives, so that beta * V is Q* in nats."""
    table = torch.full((BASE ** (HORIZON + 1), len(WEIGHTS)), torch.nan)
    for m, name in enumerate(WEIGHTS):
        for text, value in soft_value(name).items():
            table[index(text), m] = value / BETA
    return table


def step(text: Text, name: str | None, k: int = VOCAB) -> tuple[list[float], float, float]:
    """p(. | text) of the steered policy over its k candidates, and its KL: (p, steering, truncation)."""
    log_ref = reference(text)
    candidates = sorted(range(VOCAB), key=lambda token: -log_ref[token])[:k]
    tilt = [soft_value(name)[*text, token] if name else 0.0 for token in range(VOCAB)]
    mass = [math.exp(log_ref[t] + tilt[t]) if t in candidates else 0.0 for t in range(VOCAB)]
    p = [x / sum(mass) for x in mass]
    kept = sum(math.exp(log_ref[t]) for t in candidates)
    steering = sum(p[t] * (math.log(p[t]) - log_ref[t] + math.log(kept)) for t in candidates)
    return p, steering, -math.log(kept)


def distribution(name: str | None, k: int = VOCAB, text: Text = (), mass: float = 1.0) -> Distribution:
    """Probability of every whole text under the steered policy."""
    if ended(text):
        return {text: mass}
    found: Distribution = {}
    for token, p in enumerate(step(text, name, k)[0]):
        found |= distribution(name, k, (*text, token), mass * p)
    return found


def engine(*objectives: str) -> Engine:
    """With the exact values of ``objectives``; many rows."""
    policy: Any = TablePolicy(POLICY, HORIZON + 1, (END,))
    columns = [list(WEIGHTS).index(name) for name in objectives]
    values = [TableValue([objective(name) for name in objectives], value_table()[:, columns], VOCAB)]
    config = EngineConfig(max_num_seqs=512, max_num_batched_tokens=1024, block_size=4)
    return Engine(policy, values if objectives else [], config)


def guided(weights: dict[str, float], **settings: Any) -> Guidance:
    return Guidance(weights, beta=BETA, allow_empty=True, **settings)


def sample(target: Engine, guidance: Guidance, requests: int = 20) -> list[CompletionOutput]:
    params = [SamplingParams(n=128, seed=seed) for seed in range(requests)]
    return [choice for choices in generate(target, [[PROMPT]] * requests, params, guidance) for choice in choices]


def texts(answers: list[CompletionOutput]) -> list[Text]:
    return [tuple(answer.token_ids) for answer in answers]


def kl(p: Distribution, q: Distribution) -> float:
    return sum(x * math.log(x / q[text]) for text, x in p.items() if x > 0)


def test_backward_induction_gives_the_optimum() -> None:
    """pi* of whole texts is ref exp(beta R) normalised, and its objective is the soft value of the root."""
    optimal, base = distribution("mix"), distribution(None)
    total = sum(p * math.exp(BETA * rewards()["mix"][text]) for text, p in base.items())
    for text, p in base.items():
        assert optimal[text] == pytest.approx(p * math.exp(BETA * rewards()["mix"][text]) / total)
    reached = sum(p * BETA * rewards()["mix"][text] for text, p in optimal.items()) - kl(optimal, base)
    assert reached == pytest.approx(soft_value("mix")[()])


@pytest.mark.parametrize("name", WEIGHTS)
def test_exact_values_sample_the_optimal_policy(name: str) -> None:
    found = texts(sample(engine(*WEIGHTS), guided({name: WEIGHTS[name]})))
    assert p_value(found, distribution(name)) > 1e-3
    assert p_value(found, distribution(None)) < 1e-6, "the test can tell it from the policy"


def test_a_one_hot_weight_is_the_single_objective_policy() -> None:
    for name in WEIGHTS:
        one_hot = {other: float(other == name) for other in WEIGHTS}
        among_all = texts(sample(engine(*WEIGHTS), guided(one_hot), 3))
        alone = texts(sample(engine(name), guided({name: 1.0}), 3))
        assert among_all == alone


@pytest.mark.parametrize("guidance", [guided(dict.fromkeys(WEIGHTS, 0.0)), guided({}), Guidance({"a": 1.0}, beta=0.0)])
def test_without_weights_it_is_the_base_model(guidance: Guidance) -> None:
    steered, plain = sample(engine(*WEIGHTS), guidance, 3), sample(engine(), Guidance(), 3)
    assert texts(steered) == texts(plain)
    assert all(answer.guidance is None for answer in steered)


def test_the_base_model_samples_its_own_distribution() -> None:
    found = texts(sample(engine(), Guidance()))
    assert p_value(found, distribution(None)) > 1e-3


@pytest.mark.parametrize("k", [VOCAB, 3])
def test_the_reported_kl_is_exact(k: int) -> None:
    """Per step equal to the table's; over whole texts its mean is the KL of the two distributions."""
    answers = sample(engine(*WEIGHTS), guided({"mix": 1.0}, top_k=k, report=True), 8)
    steered, base = distribution("mix", k), distribution(None)
    assert p_value(texts(answers), steered) > 1e-3
    totals = []
    for answer in answers:
        text: Text = ()
        assert answer.guidance is not None
        for report in answer.reports:
            p, steering, truncation = step(text, "mix", k)
            assert report.steering_nats == pytest.approx(steering, abs=1e-5)
            assert report.truncation_nats == pytest.approx(truncation, abs=1e-5)
            assert report.logprob == pytest.approx(math.log(p[report.token_id]), abs=1e-4)
            assert report.base_logprob == pytest.approx(reference(text)[report.token_id], abs=1e-4)
            text = (*text, report.token_id)
            assert report.values["mix"] == pytest.approx(soft_value("mix")[text] / BETA, abs=1e-5)
        assert text == tuple(answer.token_ids)
        stats = answer.guidance
        totals.append(stats.steering_nats + stats.truncation_nats)
        assert totals[-1] == pytest.approx(sum(r.steering_nats + r.truncation_nats for r in answer.reports), abs=1e-4)
        assert stats.sampled_nats == pytest.approx(math.log(steered[text] / base[text]), abs=1e-3)
    found = torch.tensor(totals, dtype=torch.float64)
    error = found.std().item() / len(totals) ** 0.5
    exact = kl(steered, base)
    assert found.mean().item() == pytest.approx(exact, abs=4 * error)
    sampled = torch.tensor([answer.guidance.sampled_nats for answer in answers if answer.guidance])
    assert sampled.mean().item() == pytest.approx(exact, abs=4 * sampled.std().item() / len(totals) ** 0.5)
    assert sampled.std() > found.std(), "the exact sum is the less noisy estimate"


def test_weights_act_as_their_product_with_beta() -> None:
    doubled = sample(engine("a"), Guidance({"a": 2.0}, beta=BETA / 2, allow_empty=True), 3)
    assert texts(doubled) == texts(sample(engine("a"), guided({"a": 1.0}), 3))


def test_more_steering_costs_more_kl_and_earns_more_reward() -> None:
    """Of the decoder with the exact values of ref, at growing beta: both grow, from nothing."""
    earned, paid = [], []
    for weight in (0.0, 0.25, 0.5, 1.0):
        answers = sample(engine("a"), guided({"a": weight}), 5)
        earned.append(sum(rewards()["a"][text] for text in texts(answers)) / len(answers))
        paid.append(sum(a.guidance.steering_nats if a.guidance else 0.0 for a in answers) / len(answers))
    assert earned == sorted(earned)
    assert paid == sorted(paid)
    assert paid[0] == 0
