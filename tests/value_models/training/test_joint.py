"""Values conditioned on the weights, with the KL still to come, on a token MDP: what they are worth, exactly, and that
the engine samples the policy which they define. Two rewards that correlate by -0.6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.reference import reference_generate
from mavis_core.sample.scoring import ScoringInput
from mavis_core.values.protocol import ValueFunction
from tests.mavis_core.test_exactness import BASE, END, HORIZON, POLICY, PROMPT, VOCAB, index
from tests.models import objective
from tests.table import TablePolicy, TableValue
from tests.value_models.training.mdp import (
    Policy,
    Text,
    Values,
    base,
    ended,
    evaluate,
    histories,
    outcome,
    soft_optimum,
    tilted,
)

NAMES = ("a", "b")
Pull = tuple[float, float]


@cache
def drawn(seed: int) -> tuple[dict[Text, float], dict[Text, float]]:
    """Two standard normal rewards of every finished text, correlated by -0.6."""
    ends = [text for text in histories() if ended(text)]
    x, y = np.random.default_rng(seed).normal(size=(2, len(ends)))
    other = -0.6 * x + 0.8 * y
    return dict(zip(ends, x.tolist(), strict=True)), dict(zip(ends, other.tolist(), strict=True))


def weighted(seed: int, tilt_weights: Pull) -> Callable[[Text], float]:
    first, second = drawn(seed)
    return lambda text: tilt_weights[0] * first[text] + tilt_weights[1] * second[text]


def single(seed: int, m: int) -> Callable[[Text], float]:
    return lambda text: drawn(seed)[m][text]


def joint(seed: int, tilt_weights: Pull, rounds: int) -> tuple[list[Values], Values]:
    """V_m(.; w) and W(.; w) after some rounds: those of the policy that the round before defines at the same w."""
    policy: Policy = base
    found = ([evaluate(base, of=single(seed, m)) for m in range(2)], dict[Text, float]())
    for _ in range(rounds):
        policy = tilted(combined(tilt_weights, *found), 1.0)
        values = [evaluate(policy, of=single(seed, m)) for m in range(2)]
        plain, paid = evaluate(policy), evaluate(policy, 1.0)
        found = (values, {text: plain[text] - paid[text] for text in plain})
    return found


def combined(tilt_weights: Pull, values: Sequence[Values], future_kls: Values) -> Values:
    """sum_m w_m V_m - W."""
    return {
        text: sum(w * v[text] for w, v in zip(tilt_weights, values, strict=True)) - future_kls.get(text, 0.0)
        for text in values[0]
    }


def independent(seed: int, tilt_weights: Pull) -> Values:
    """Each objective's own converged values at the strength |w|, mixed by the weights: token-level MOD."""
    strength = sum(tilt_weights)
    own = [soft_optimum(strength, of=single(seed, m)) for m in range(2)]
    return combined(tilt_weights, own, {})


def gain(policy_at: Callable[[float], Policy], seed: int, nats: float) -> float:
    """Weighted reward above the base's, at equal weights, of the strength that spends ``nats``."""
    reward = weighted(seed, (0.5, 0.5))
    low, high = 0.05, 32.0
    for _ in range(18):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if outcome(policy_at(middle), reward)[1] < nats else (low, middle)
    earned, spent = outcome(policy_at(low), reward)
    assert spent == pytest.approx(nats, rel=0.01)
    return earned - outcome(base, reward)[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_joint_reaches_the_optimum_where_independent_and_the_base_models_values_do_not(seed: int) -> None:
    def tilt_weights(strength: float) -> Pull:
        return strength / 2, strength / 2

    best = gain(lambda t: tilted(soft_optimum(1.0, of=weighted(seed, tilt_weights(t))), 1.0), seed, 1.0)
    first = gain(lambda t: tilted(combined(tilt_weights(t), *joint(seed, tilt_weights(t), 0)), 1.0), seed, 1.0) / best
    alone = gain(lambda t: tilted(independent(seed, tilt_weights(t)), 1.0), seed, 1.0) / best
    second = gain(lambda t: tilted(combined(tilt_weights(t), *joint(seed, tilt_weights(t), 2)), 1.0), seed, 1.0) / best
    print(f"of the optimum at 1 nat: base model's values {first:.3f}, independent {alone:.3f}, joint {second:.3f}")
    assert second > 0.99
    assert second > first + 0.01 and second > alone + 0.01


class Conditioned:
    """V(s + a; w) and W from tables that are made for each tilt when it is asked for."""

    def __init__(self, seed: int, rounds: int) -> None:
        objectives = [
            dataclasses.replace(objective(name), value="joint", conditioned=True, pull_range=(0.0, 4.0))
            for name in NAMES
        ]
        self._objectives: list[ObjectiveInfo] = objectives
        self.spec = dataclasses.replace(TableValue(objectives, torch.zeros(1, 2), VOCAB).spec, conditioned=True)
        self._tables = cache(lambda tilt_weights: _table(seed, tilt_weights, rounds))

    def bind(self, *args: Any) -> None: ...

    def extend(self, *args: Any) -> None: ...

    def commit(self, *args: Any) -> None: ...

    def at(self, tilt_weights: Sequence[float]) -> ValueFunction:
        return TableValue(self._objectives, self._tables(tuple(tilt_weights)), VOCAB)

    def score(self, inputs: ScoringInput) -> Tensor:
        assert inputs.tilt_weights is not None
        rows = [
            self.at(tilt_weights).score(inputs.take(torch.tensor([i])))
            for i, tilt_weights in enumerate(inputs.tilt_weights.tolist())
        ]
        return torch.cat(rows)

    def reference(self, *args: Any) -> Tensor:
        raise AssertionError("asked without its weights")


def _table(seed: int, tilt_weights: Pull, rounds: int) -> Tensor:
    """(texts, 3): V_a, V_b, W."""
    values, future_kls = joint(seed, tilt_weights, rounds)
    table = torch.zeros(BASE ** (HORIZON + 1), 3)
    for text in values[0]:
        table[index(text)] = torch.tensor([values[0][text], values[1][text], future_kls.get(text, 0.0)])
    return table


def engine(*values: Any) -> Engine:
    policy: Any = TablePolicy(POLICY, HORIZON + 1, (END,))
    return Engine(policy, list(values), EngineConfig(max_num_seqs=64, max_num_batched_tokens=1024, block_size=4))


def answers(made: Engine, guidances: Sequence[Guidance]) -> list[CompletionOutput]:
    samplings = [SamplingParams(max_tokens=HORIZON, seed=i) for i in range(len(guidances))]
    found = generate(made, [[PROMPT]] * len(guidances), samplings, guidances)
    return [choice for (choice,) in found]


def guidance(a: float, b: float, beta: float = 2.0, **settings: Any) -> Guidance:
    return Guidance({"a": a, "b": b}, beta, VOCAB, allow_empty=True, report=True, **settings)


PULLS = [(0.25, 1.0), (1.0, 0.25), (0.5, 0.5)]


def test_the_engine_samples_the_soft_optimum_of_each_rows_own_weights() -> None:
    """Many rounds converge: w . V - W is then the soft value, whatever w; rows of different weights share a batch."""
    made = engine(Conditioned(0, 6))
    found = answers(made, [guidance(*tilt_weights) for tilt_weights in PULLS * 8])
    for choice, (a, b) in zip(found, PULLS * 8, strict=True):
        optimum = tilted(soft_optimum(1.0, of=weighted(0, (2 * a, 2 * b))), 1.0)
        for i, report in enumerate(choice.reports):
            p = optimum(tuple(choice.token_ids[:i]))
            assert report.logprob == pytest.approx(np.log(p[report.token_id]), abs=2e-3)


@pytest.mark.parametrize("limit", [None, 0.05])
def test_batched_equals_the_reference_beside_rows_that_do_not_use_it(limit: float | None) -> None:
    """A conditioned value of two objectives beside an unconditioned one of a third; plain rows and its rows mixed."""
    value = Conditioned(1, 2)
    other = TableValue([dataclasses.replace(objective("c"))], torch.randn(BASE ** (HORIZON + 1), 1), VOCAB)
    made = engine(value, other)
    plain = Guidance({"c": 1.0}, 1.5, VOCAB, allow_empty=True, max_kl_per_token=limit)
    asked = [guidance(*tilt_weights, max_kl_per_token=limit) for tilt_weights in PULLS] + [plain, Guidance()]
    for i, (choice, steer) in enumerate(zip(answers(made, asked), asked, strict=True)):
        policy: Any = made.policy
        sampling = SamplingParams(max_tokens=HORIZON, seed=i)
        expected = reference_generate(policy, [value, other], [PROMPT], sampling, steer, steer.beta or 0.0)
        assert choice.token_ids == expected.tokens
        if choice.guidance is not None:
            assert choice.guidance.steering_nats == pytest.approx(sum(expected.steering), abs=1e-4)
    alone = answers(engine(other), [plain] * 4)[3]
    assert answers(made, [guidance(1.0, 1.0)] * 3 + [plain])[3].token_ids == alone.token_ids


@pytest.mark.parametrize(
    ("steer", "told"),
    [
        (guidance(3.0, 0.0), r"objective_weights.a: beta \* weight = 6: this value was trained for 0 to 4"),
        (guidance(0.5, -0.5), r"objective_weights.b: beta \* weight = -1: this value"),
        (guidance(0.5, 0.5, normalise="minmax"), r"guidance.normalise='minmax': must be 'none' with a"),
        (Guidance({"a": 1.0, "c": 1.0}), r"objective_weights.c: is of another value than a"),
    ],
)
def test_what_it_was_not_trained_for_is_refused(steer: Guidance, told: str) -> None:
    named_alike = dataclasses.replace(objective("c"), value="joint")  # folders of two runs may share their name
    other = TableValue([named_alike], torch.zeros(BASE ** (HORIZON + 1), 1), VOCAB)
    with pytest.raises(InvalidRequestError, match=told):
        answers(engine(Conditioned(0, 0), other), [steer])


def test_values_that_are_not_conditioned_pay_nothing_for_those_that_could_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """No W is made for them, so the tilt has nothing to subtract."""
    made = engine(TableValue([objective("c")], torch.zeros(BASE ** (HORIZON + 1), 1), VOCAB))
    seen: list[Any] = []
    score = made.values.score

    def watched(*args: Any) -> Any:
        seen.append(score(*args))
        return seen[-1]

    monkeypatch.setattr(made.values, "score", watched)
    answers(made, [Guidance({"c": 1.0}, 1.0, VOCAB)])
    assert seen and all(scored.future_kl is None and scored.inputs.tilt_weights is None for scored in seen)
