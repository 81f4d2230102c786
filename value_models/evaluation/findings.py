"""What the answers say: every arm at matched KL with its uncertainty, and what became of the claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from value_models.evaluation.bootstrap import Interval, interval, means, resamples
from value_models.evaluation.config import ClaimConfig, EvaluationConfig, Measure
from value_models.evaluation.matched import at_budget, falls, hypervolume, weighted_reward
from value_models.evaluation.points import BASE, Point
from value_models.evaluation.table import Array, Table

Outcome = Literal["holds", "does not hold", "undecided", "cannot be said"]


@dataclass(frozen=True, slots=True)
class Matched:
    """One arm at one budget.

    Attributes:
        points: (S, D) rewards on the axes at every share.
        reached: (S,) whether the arm's strongest point spends the budget; where not, its rewards are no finding.
        measures: of all shares; None unless all of them reach.
        regret: what the weighted reward lacks to the named arm's; None where either does not reach.
    """

    arm: str
    budget: float
    points: Array
    reached: tuple[bool, ...]
    measures: dict[Measure, Interval] | None
    regret: Interval | None


@dataclass(frozen=True, slots=True)
class Monotone:
    """Whether each axis' reward rises with its weight, at one strength.

    Attributes:
        falling: axis -> steps between neighbouring shares in which it falls.
        certainly: axis -> those whose 95 % interval leaves no doubt.
    """

    arm: str
    beta: float
    steps: int
    falling: dict[str, int]
    certainly: dict[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim and what became of it; ``difference`` is better - than, None where it cannot be said."""

    claim: ClaimConfig
    difference: Interval | None

    @property
    def outcome(self) -> Outcome:
        if self.difference is None:
            return "cannot be said"
        outcomes: dict[int, Outcome] = {1: "holds", 0: "undecided", -1: "does not hold"}
        return outcomes[self.difference.sign]


@dataclass(frozen=True, slots=True)
class Findings:
    """Attributes:
    matched: every arm, the base among them, at every budget.
    monotone: every arm and strength, where there are several shares.
    verdicts: one per claim.
    correlation: of the two axes over the base model's answers; None for one axis.
    """

    matched: tuple[Matched, ...]
    monotone: tuple[Monotone, ...]
    verdicts: tuple[Verdict, ...]
    correlation: float | None


def find(table: Table, config: EvaluationConfig) -> Findings:
    """All of it, on one set of resamples."""
    names = list(config.rewards)
    axes = [names.index(axis) for axis in config.axes]
    shares = resamples(table.rewards.shape[1], config.resamples, config.seed)
    rewards, kl = means(shares, table.rewards[..., axes]), means(shares, table.steering)
    weights = np.array([[*Point("", share).weights(config.axes).values()] for share in config.grid])
    reference = np.array(config.reference_point)
    curves: dict[tuple[str, float], tuple[Array, tuple[bool, ...]]] = {}
    for arm in (BASE, *table.arms):
        for budget in config.budgets:
            curves[arm, budget] = _along(table, arm, config.grid, budget, rewards, kl)
    measured = {
        key: {"hypervolume": hypervolume(found, reference), "weighted_reward": weighted_reward(found, weights)}
        if all(reached)
        else None
        for key, (found, reached) in curves.items()
    }

    def difference(better: str, than: str, budget: float, measure: str) -> Interval | None:
        first, second = measured[better, budget], measured[than, budget]
        return interval(first[measure] - second[measure]) if first and second else None

    matched = []
    for (arm, budget), (found, reached) in curves.items():
        own = measured[arm, budget]
        regret = difference(config.regret_to, arm, budget, "weighted_reward") if config.regret_to else None
        told: dict[Measure, Interval] | None = (
            {"hypervolume": interval(own["hypervolume"]), "weighted_reward": interval(own["weighted_reward"])}
            if own
            else None
        )
        matched.append(Matched(arm, budget, found[0], reached, told, regret))
    verdicts = [
        Verdict(claim, difference(claim.better, claim.than, claim.nats, claim.measure)) for claim in config.claims
    ]
    monotone = [
        _monotone(table, arm, beta, rewards, config) for arm in table.arms for beta in sorted(config.arms[arm].betas)
    ]
    correlation = float(table.base_correlation[axes[0], axes[1]]) if len(axes) == 2 else None
    return Findings(tuple(matched), tuple(monotone), tuple(verdicts), correlation)


def _along(
    table: Table, arm: str, grid: Sequence[float], budget: float, rewards: Array, kl: Array
) -> tuple[Array, tuple[bool, ...]]:
    """Rewards (R, S, D) of an arm at a budget, and which shares reach it; the base is the same at every budget."""
    base = rewards[:, 0]
    if arm == BASE:
        return np.repeat(base[:, None], len(grid), axis=1), (True,) * len(grid)
    found, reached = [], []
    for own in table.curves(arm).values():
        found.append(at_budget(kl[:, own], rewards[:, own], base, budget))
        reached.append(bool(kl[0, own].max() >= budget))
    return np.stack(found, axis=1), tuple(reached)


def _monotone(table: Table, arm: str, beta: float, rewards: Array, config: EvaluationConfig) -> Monotone:
    at = [table.points.index(Point(arm, share, beta)) for share in config.grid]
    falling, certainly = {}, {}
    for d, axis in enumerate(config.axes):
        along = rewards[:, at, d] if d == 0 else rewards[:, at[::-1], d]
        falling[axis] = int((falls(along[0]) > 0).sum())
        certainly[axis] = int((np.percentile(along[1:, 1:] - along[1:, :-1], 97.5, axis=0) < 0).sum())
    return Monotone(arm, beta, len(at) - 1, falling, certainly)
