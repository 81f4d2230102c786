"""Findings of a made-up evaluation whose figures are known: two prompts that always agree, or that differ as stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from value_models.evaluation.config import ArmConfig, ClaimConfig, EvaluationConfig
from value_models.evaluation.findings import Findings, find
from value_models.evaluation.points import BASE, Point, points_of
from value_models.evaluation.report import page
from value_models.evaluation.table import Table
from value_models.rewards.registry import RewardConfig

PROMPTS = 11
BETAS = [1.0, 3.0]
STRENGTHS = ["beta-1", "beta-3"]


def config(**changes: object) -> EvaluationConfig:
    arms = {name: ArmConfig(["folder"], BETAS) for name in ("good", "poor", "weak")}
    settings = {
        "rewards": {name: RewardConfig() for name in ("cheerful", "concise")},
        "axes": ["cheerful", "concise"],
        "reference_point": [-1.0, -1.0],
        "arms": arms,
        "shares": [0.0, 1.0],
        "budgets": [4.0],
        "regret_to": "good",
        "resamples": 200,
    }
    return EvaluationConfig("folder", "prompts", **{**settings, **changes})  # type: ignore[arg-type]


def table(noise: float = 0.0) -> Table:
    """At beta 1 and 3 arms spend 1 and 9 nats and gain slope * sqrt(nats) on the axis that they ask for.

    ``good`` has slope 1, ``poor`` 0.5; ``weak`` spends a quarter, so that it never reaches 4 nats.
    """
    points = [Point(BASE)]
    for arm in ("good", "poor", "weak"):
        points += points_of(arm, [0.0, 1.0], STRENGTHS)
    rewards = np.random.default_rng(0).normal(scale=noise, size=(len(points), PROMPTS, 2))
    kl = np.zeros((len(points), PROMPTS))
    for i, point in enumerate(points[1:], 1):
        beta = float(point.strength.removeprefix("beta-"))
        kl[i] = beta**2 / (4 if point.arm == "weak" else 1)
        slope = 0.5 if point.arm == "poor" else 1.0
        rewards[i, :, 0 if point.share else 1] += slope * beta
    ones = np.ones_like(kl)
    return Table(tuple(points), rewards, kl, ones, 10 * ones, 10 * ones, ones, 20 * ones, ones[:, 0], np.eye(2))


def matched(findings: Findings, arm: str) -> tuple[float, float]:
    (found,) = [each for each in findings.matched if each.arm == arm]
    return found.measures["hypervolume"].estimate, found.measures["weighted_reward"].estimate


def test_arms_are_compared_where_they_have_spent_the_same() -> None:
    """At 4 nats good has gained 2 and poor 1: staircases 1x3 + 2x1 and 1x2 + 1x1 above (-1, -1)."""
    found = find(table(), config())
    assert matched(found, "good") == pytest.approx((5.0, 2.0))
    assert matched(found, "poor") == pytest.approx((3.0, 1.0))
    assert matched(found, BASE) == pytest.approx((1.0, 0.0))
    regrets = {each.arm: each.regret[:3] for each in found.matched if each.regret}
    assert regrets["poor"] == pytest.approx((1, 1, 1)) and regrets["good"] == pytest.approx((0, 0, 0))


def test_an_arm_that_does_not_reach_a_budget_counts_with_the_least_it_can_do() -> None:
    """``weak`` ends at 2.25 nats with a gain of 3: staircase 1x4 + 3x1; good, at 4 nats, lacks at most 2 - 3."""
    found = find(table(), config())
    assert matched(found, "weak") == pytest.approx((7.0, 3.0))
    (weak,) = [each for each in found.matched if each.arm == "weak"]
    assert weak.reached == (False, False)
    assert {measure: each.bound for measure, each in weak.measures.items()} == {
        "hypervolume": "at least",
        "weighted_reward": "at least",
    }
    assert weak.regret is not None and weak.regret[:3] == pytest.approx((-1, -1, -1))
    assert weak.regret.bound == "at most"
    (itself,) = [each for each in find(table(), config(regret_to="weak")).matched if each.arm == "weak"]
    assert itself.regret is None


def test_a_strength_that_costs_more_and_earns_less_than_another_counts_nowhere() -> None:
    """``good`` at beta 3 spends 9 nats for a gain of 0.5: at 4 and at 100 nats it has what 1 nat gains at beta 1."""
    made = table()
    wasteful = [i for i, point in enumerate(made.points) if (point.arm, point.strength) == ("good", "beta-3")]
    made.rewards[wasteful] /= 6
    found = find(made, config(budgets=[4.0, 100.0]))
    good = [each for each in found.matched if each.arm == "good"]
    assert [each.measures["weighted_reward"].estimate for each in good] == pytest.approx([1.0, 1.0])
    assert [each.reached for each in good] == [(True, True), (False, False)]


def test_claims_come_out_either_way() -> None:
    claims = [
        ClaimConfig("good", "poor", 4.0),
        ClaimConfig("poor", "good", 4.0, "weighted_reward"),
        ClaimConfig("poor", "poor", 4.0),
    ]
    settings = config(claims=claims)
    found = find(table(), settings)
    assert [v.outcome for v in found.verdicts] == ["holds", "does not hold", "undecided"]
    text = page(table(), found, settings)
    assert "`good` has more hypervolume than `poor` at 4 nats: **holds**; difference +2.000 [+2.000, +2.000]" in text
    assert "`poor` has more weighted reward than `good` at 4 nats: **does not hold**; difference -1.000" in text
    assert "| hypervolume | weak | 2 | ≥ 7.000 [7.000, 7.000] |" in text


def test_a_claim_on_an_arm_that_ends_early_is_decided_by_its_bound_alone() -> None:
    """At 4 nats ``weak`` has at least 7; at 100 nats nobody arrives. With half its gain its bounds say nothing."""
    claims = [
        ClaimConfig("weak", "good", 4.0),
        ClaimConfig("good", "weak", 4.0),
        ClaimConfig("good", "weak", 100.0),
    ]
    found = find(table(), config(claims=claims, budgets=[4.0, 100.0]))
    assert [v.outcome for v in found.verdicts] == ["holds", "does not hold", "cannot be said"]
    made = table()
    made.rewards[[i for i, point in enumerate(made.points) if point.arm == "weak"]] *= 0.5
    found = find(made, config(claims=claims, budgets=[4.0, 100.0]))
    assert [v.outcome for v in found.verdicts] == ["cannot be said"] * 3


def test_one_axis_is_a_curve_of_its_own() -> None:
    """At 4 nats ``good`` gains 2 on the axis, 3 above the reference point."""
    settings = config(axes=["cheerful"], reference_point=[-1.0], shares=None)
    made = table()
    kept = [i for i, point in enumerate(made.points) if point.share != 0.0]
    fields = ("rewards", "steering", "truncation", "tokens", "drawn", "seconds", "base_nll", "distinct2")
    one = replace(made, points=tuple(made.points[i] for i in kept), **{f: getattr(made, f)[kept] for f in fields})
    found = find(one, settings)
    assert matched(found, "good") == pytest.approx((3.0, 2.0))
    assert found.correlation is None
    text = page(one, found, settings)
    assert text.startswith("# cheerful\n") and "fronts.png" not in text and "More weight" not in text


def test_noise_leaves_a_claim_undecided() -> None:
    found = find(table(noise=20.0), config(claims=[ClaimConfig("good", "poor", 4.0, "weighted_reward")]))
    assert found.verdicts[0].outcome == "undecided"


def test_rewards_that_fall_with_their_weight_are_counted() -> None:
    made = table()
    made.rewards[made.points.index(Point("good", 1.0, "beta-1")), :, 0] = -1.0
    found = {(m.arm, m.strength): m for m in find(made, config()).monotone}
    assert found["good", "beta-1"].falling == {"cheerful": 1, "concise": 0}
    assert found["good", "beta-1"].certainly == {"cheerful": 1, "concise": 0}
    assert found["good", "beta-3"].falling == {"cheerful": 0, "concise": 0}
