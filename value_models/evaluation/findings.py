"""What the answers say: every arm at matched KL with its uncertainty, and what became of the claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from value_models.evaluation.bootstrap import Interval, interval, means, resamples
from value_models.evaluation.config import ClaimConfig, EvaluationConfig, Measure
from value_models.evaluation.matched import at_budget, falls, hypervolume, weighted_reward
from value_models.evaluation.points import BASE, Point
from value_models.evaluation.table import Array, Table

Mask = NDArray[np.bool_]

Outcome = Literal["holds", "does not hold", "undecided", "cannot be said"]


@dataclass(frozen=True, slots=True)
class Matched:
    """One arm at one budget.

    Attributes:
        points: (S, D) rewards on the axes at every share, NaN where the arm has none.
        reached: (S,) whether the arm's strongest point spends the budget; where not, its rewards are no finding.
        shares: how many the arm has.
        measures: of all its shares; None unless all of them reach.
        regret: what the weighted reward lacks to the named arm's, over the shares that both have; None where either
            does not reach.
    """

    arm: str
    budget: float
    points: Array
    reached: tuple[bool, ...]
    shares: int
    measures: dict[Measure, Interval] | None
    regret: Interval | None


@dataclass(frozen=True, slots=True)
class Monotone:
    """Whether each axis' reward rises with its weight, at one strength, along the shares that the arm has.

    Attributes:
        falling: axis -> steps between neighbouring shares in which it falls.
        certainly: axis -> those whose 95 % interval leaves no doubt.
    """

    arm: str
    strength: str
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
    monotone: every arm and strength with several shares.
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
    curves = {
        (arm, budget): _along(table, arm, config.grid, budget, rewards, kl)
        for arm in (BASE, *table.arms)
        for budget in config.budgets
    }

    def measured(arm: str, budget: float, measure: str, beside: str | None = None) -> Array | None:
        """In every resample, over the shares that the arm has, and the one beside it too; None where one is short."""
        found, has, reached = curves[arm, budget]
        both = has & curves[beside, budget][1] if beside else has
        if not both.any() or not reached[both].all():
            return None
        points = found[:, both]
        return hypervolume(points, reference) if measure == "hypervolume" else weighted_reward(points, weights[both])

    def difference(better: str, than: str, budget: float, measure: str) -> Interval | None:
        first, second = measured(better, budget, measure, than), measured(than, budget, measure, better)
        return None if first is None or second is None else interval(first - second)

    matched = []
    for (arm, budget), (found, has, reached) in curves.items():
        volume, reward = measured(arm, budget, "hypervolume"), measured(arm, budget, "weighted_reward")
        told: dict[Measure, Interval] | None = None
        if volume is not None and reward is not None:
            told = {"hypervolume": interval(volume), "weighted_reward": interval(reward)}
        regret = difference(config.regret_to, arm, budget, "weighted_reward") if config.regret_to else None
        matched.append(Matched(arm, budget, found[0], tuple(reached.tolist()), int(has.sum()), told, regret))
    verdicts = [
        Verdict(claim, difference(claim.better, claim.than, claim.nats, claim.measure)) for claim in config.claims
    ]
    monotone = [
        _monotone(table, arm, strength, own, rewards, config)
        for arm in table.arms
        for strength, own in table.strengths(arm).items()
        if len(own) > 1
    ]
    correlation = float(table.base_correlation[axes[0], axes[1]]) if len(axes) == 2 else None
    return Findings(tuple(matched), tuple(monotone), tuple(verdicts), correlation)


def _along(
    table: Table, arm: str, grid: Sequence[float], budget: float, rewards: Array, kl: Array
) -> tuple[Array, Mask, Mask]:
    """Rewards (R, S, D) of an arm at a budget, which shares (S,) it has, and which reach; the base all of them."""
    base = rewards[:, 0]
    if arm == BASE:
        everywhere = np.ones(len(grid), dtype=bool)
        return np.repeat(base[:, None], len(grid), axis=1), everywhere, everywhere
    curves = table.curves(arm)
    missing = np.full_like(base, np.nan)
    found = [at_budget(kl[:, o], rewards[:, o], base, budget) if (o := curves.get(s)) else missing for s in grid]
    reached = [bool(o) and bool(kl[0, o].max() >= budget) for o in (curves.get(s, []) for s in grid)]
    return np.stack(found, axis=1), np.array([share in curves for share in grid]), np.array(reached)


def _monotone(
    table: Table, arm: str, strength: str, own: Sequence[int], rewards: Array, config: EvaluationConfig
) -> Monotone:
    at = sorted(own, key=lambda i: table.points[i].share or 0.0)
    falling, certainly = {}, {}
    for d, axis in enumerate(config.axes):
        along = rewards[:, at, d] if d == 0 else rewards[:, at[::-1], d]
        falling[axis] = int((falls(along[0]) > 0).sum())
        certainly[axis] = int((np.percentile(along[1:, 1:] - along[1:, :-1], 97.5, axis=0) < 0).sum())
    return Monotone(arm, strength, len(at) - 1, falling, certainly)
