"""Floors and the worst case of one step in Python floats, one multiplier at a time: the oracle of ``multipliers.py``.

A floor's multiplier is found by bisection with all others held, two of the worst case share what they have together by
bisection, and so on around until nothing moves: slow, and minimises a convex function as surely as Newton does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HALVINGS = 40
ROUNDS = 300
STILL = 1e-7


@dataclass(frozen=True, slots=True)
class Pull:
    """One multiplier: ``floor`` is None for an objective of the worst case, whose ``most`` is not asked."""

    values: Sequence[float]
    floor: float | None
    most: float


class ReferenceStep:
    """Candidates with ``log_ref`` and the fixed weights' ``tilt`` (nats), and the multipliers there are."""

    def __init__(self, log_ref: Sequence[float], tilt: Sequence[float], pulls: Sequence[Pull], strength: float) -> None:
        self.log_ref, self.tilt, self.pulls, self.strength = log_ref, tilt, pulls, strength
        self._shared = [i for i, pull in enumerate(pulls) if pull.floor is None]

    def solve(self, limit: float | None) -> list[float]:
        """The tilt of the best p, nats."""
        share, found = 1.0, self.tilted(1.0, self._settle(1.0))
        if limit is not None and self._kl(found) > limit:
            share = largest(lambda s: self._kl(self.tilted(s, self._settle(s))) <= limit, 26)
            found = self.tilted(share, self._settle(share))
        if limit is None or self._kl(found) <= limit:
            return found
        scale = largest(lambda s: self._kl([s * x for x in found]) <= limit, 26)
        return [scale * x for x in found]

    def tilted(self, share: float, pull: Sequence[float]) -> list[float]:
        return [
            share * t + sum(y * p.values[a] for y, p in zip(pull, self.pulls, strict=True))
            for a, t in enumerate(self.tilt)
        ]

    def _settle(self, share: float) -> list[float]:
        """The multipliers at gamma ``share``."""
        pull = [0.0] * len(self.pulls)
        for i in self._shared:
            pull[i] = share * self.strength / len(self._shared)
        for _ in range(ROUNDS):
            before = list(pull)
            for i, one in enumerate(self.pulls):
                if one.floor is not None:
                    pull[i] = self._floor(share, pull, i, one.floor, one.most)
            for i in self._shared:
                for j in self._shared:
                    if i < j:
                        self._level(share, pull, i, j)
            if max((abs(x - y) for x, y in zip(before, pull, strict=True)), default=0.0) < STILL:
                break
        return pull

    def _floor(self, share: float, pull: list[float], i: int, floor: float, most: float) -> float:
        """The smallest multiplier i that keeps its floor."""

        def short(fraction: float) -> bool:
            pull[i] = fraction * most
            return self._expected(share, pull, i) < floor

        if not short(0.0):
            return 0.0
        return most * largest(short, HALVINGS)

    def _level(self, share: float, pull: list[float], i: int, j: int) -> None:
        """Divide what i and j have so that both are expected alike, or the worse one has it all."""
        both = pull[i] + pull[j]

        def behind(fraction: float) -> bool:
            pull[i], pull[j] = fraction * both, both - fraction * both
            return self._expected(share, pull, i) < self._expected(share, pull, j)

        fraction = largest(behind, HALVINGS) if behind(0.0) else 0.0
        pull[i], pull[j] = fraction * both, both - fraction * both

    def _expected(self, share: float, pull: Sequence[float], i: int) -> float:
        p = _normal([r + t for r, t in zip(self.log_ref, self.tilted(share, pull), strict=True)])
        return sum(math.exp(x) * v for x, v in zip(p, self.pulls[i].values, strict=True))

    def _kl(self, tilt: Sequence[float]) -> float:
        p = _normal([r + t for r, t in zip(self.log_ref, tilt, strict=True)])
        return sum(math.exp(x) * (x - r) for x, r in zip(p, _normal(self.log_ref), strict=True))


def largest(holds: Callable[[float], bool], halvings: int) -> float:
    """The largest number in 0..1 for which ``holds``, which up to there it does; 1 if it holds there too."""
    if holds(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _normal(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    total = top + math.log(sum(math.exp(x - top) for x in logits))
    return [x - total for x in logits]
