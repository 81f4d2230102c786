"""What the answers say: every arm at matched KL with its uncertainty, and what became of the claims.

A budget is the most that an arm may spend. Along an arm's strengths only those count that no cheaper one beats: nobody
would choose the others, and checkpoints of RL do not always spend more than the one before. An arm whose greatest
strength spends less than the budget counts with what it has there. That is the least it can do within the budget, so a
difference to it is a bound, and a claim is decided only where the bound leaves no doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from value_models.evaluation.bootstrap import Bound, Interval, interval, means, resamples
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
        reached: (S,) whether the arm can spend the budget; where not, its rewards are the best that it has.
        shares: how many the arm has.
        measures: of all its shares; "at least" so much unless all of them reach.
        regret: what the weighted reward lacks to the named arm's, over the shares that both have; None where neither
            reaches.
    """

    arm: str
    budget: float
    points: Array
    reached: tuple[bool, ...]
    shares: int
    measures: dict[Measure, Interval]
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
    """A claim and what became of it; ``difference`` is better - than, None where neither reaches the budget."""

    claim: ClaimConfig
    difference: Interval | None

    @property
    def outcome(self) -> Outcome:
        if self.difference is None:
            return "cannot be said"
        if self.difference.sign:
            return "holds" if self.difference.sign > 0 else "does not hold"
        return "undecided" if self.difference.bound == "exact" else "cannot be said"


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


@dataclass(frozen=True, slots=True)
class _Curves:
    """What every arm reaches within every budget, in all resamples.

    Attributes:
        along: (arm, budget) -> see ``_along``.
        weights: (S, D) lambdas of each share.
        reference: (D,) the point that hypervolumes are measured from.
    """

    along: dict[tuple[str, float], tuple[Array, Mask, Mask]]
    weights: Array
    reference: Array

    def measured(self, arm: str, budget: float, measure: Measure, shares: Mask) -> tuple[Array, bool]:
        """In every resample, over ``shares``, all of which the arm has; and whether all of them reach the budget."""
        found, _, reached = self.along[arm, budget]
        points = found[:, shares]
        over = (
            hypervolume(points, self.reference)
            if measure == "hypervolume"
            else weighted_reward(points, self.weights[shares])
        )
        return over, bool(reached[shares].all())

    def difference(self, better: str, than: str, budget: float, measure: Measure) -> Interval | None:
        both = self.along[better, budget][1] & self.along[than, budget][1]
        if not both.any():
            return None
        first, second = (self.measured(arm, budget, measure, both) for arm in (better, than))
        bounds: dict[tuple[bool, bool], Bound] = {
            (True, True): "exact",
            (False, True): "at least",
            (True, False): "at most",
        }
        bound = bounds.get((first[1], second[1]))
        return None if bound is None else interval(first[0] - second[0], bound)

    def interval(self, arm: str, budget: float, measure: Measure) -> Interval:
        over, reaches = self.measured(arm, budget, measure, self.along[arm, budget][1])
        return interval(over, "exact" if reaches else "at least")


def find(table: Table, config: EvaluationConfig) -> Findings:
    """All of it, on one set of resamples."""
    names = list(config.rewards)
    axes = [names.index(axis) for axis in config.axes]
    shares = resamples(table.rewards.shape[1], config.resamples, config.seed)
    rewards, kl = means(shares, table.rewards[..., axes]), means(shares, table.steering)
    weights = np.array([[*Point("", share).weights(config.axes).values()] for share in config.grid])
    along = {
        (arm, budget): _along(table, arm, config.grid, weights, budget, rewards, kl)
        for arm in (BASE, *table.arms)
        for budget in config.budgets
    }
    curves = _Curves(along, weights, np.array(config.reference_point))
    matched = []
    for (arm, budget), (found, has, reached) in along.items():
        measures = {measure: curves.interval(arm, budget, measure) for measure in get_args(Measure)}
        regret = curves.difference(config.regret_to, arm, budget, "weighted_reward") if config.regret_to else None
        matched.append(Matched(arm, budget, found[0], tuple(reached.tolist()), int(has.sum()), measures, regret))
    verdicts = [
        Verdict(claim, curves.difference(claim.better, claim.than, claim.nats, claim.measure))
        for claim in config.claims
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
    table: Table, arm: str, grid: Sequence[float], weights: Array, budget: float, rewards: Array, kl: Array
) -> tuple[Array, Mask, Mask]:
    """Rewards (R, S, D) of an arm within a budget, which shares (S,) it has, and which reach; the base all of them."""
    base = rewards[:, 0]
    if arm == BASE:
        everywhere = np.ones(len(grid), dtype=bool)
        return np.repeat(base[:, None], len(grid), axis=1), everywhere, everywhere
    curves = table.curves(arm)
    found, reached = [], []
    for share, lambdas in zip(grid, weights, strict=True):
        own = curves.get(share, [])
        reached.append(max((kl[0, i] for i in own), default=0.0) >= budget)
        kept = _worthwhile(own, kl[0], rewards[0] @ lambdas)
        if not kept:
            found.append(np.full_like(base, np.nan))
        elif kl[0, kept[-1]] >= budget:
            found.append(at_budget(kl[:, kept], rewards[:, kept], base, budget))
        else:
            found.append(rewards[:, kept[-1]])
    return np.stack(found, axis=1), np.array([share in curves for share in grid]), np.array(reached)


def _worthwhile(own: Sequence[int], kl: Array, reward: Array) -> list[int]:
    """Those of a curve's points that earn more than all that spend less, in the order of what they spend."""
    found: list[int] = []
    for i in sorted(own, key=lambda i: (kl[i], -reward[i])):
        if not found or reward[i] > reward[found[-1]]:
            found.append(i)
    return found


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
