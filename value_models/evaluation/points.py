"""Points: what is sampled of an arm. One point is one weight vector at one strength, the same answers for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BASE = "base"


@dataclass(frozen=True, slots=True)
class Point:
    """Attributes:
    arm: its name; ``BASE`` is the policy unsteered.
    share: weight of the first axis, None for the base.
    beta: strength, 0 for the base.
    """

    arm: str
    share: float | None = None
    beta: float = 0.0

    @property
    def name(self) -> str:
        """Of its files."""
        return BASE if self.share is None else f"{self.arm}/share-{self.share:g}-beta-{self.beta:g}"

    def weights(self, axes: Sequence[str]) -> dict[str, float]:
        """Objective -> lambda; nothing for the base."""
        if self.share is None:
            return {}
        return dict(zip(axes, (self.share, 1 - self.share), strict=False))


def points_of(arm: str, shares: Sequence[float], betas: Sequence[float]) -> list[Point]:
    """An arm's whole sweep; the curve over KL of each share stands together, weakest first."""
    return [Point(arm, share, beta) for share in shares for beta in sorted(betas)]
