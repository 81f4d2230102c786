"""Weights that trees are rolled out under, drawn anew for each tree: what a value that takes weights learns from.

    w = s * lambda,    s uniform in (0, beta]
    lambda: 1 for one objective, drawn evenly; for all others 0 in a quarter of the trees, else uniform in [0, 1)

So w fills the box [0, beta]^M, with more trees near 0, and also meets the axes, where one objective steers alone. A
box, because a value's folder states one range per objective and the server refuses what lies outside: weights that sum
to a constant would leave most of what is allowed untrained.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mavis_core.api.errors import RunError
from mavis_core.api.guidance import MAX_BETA

ALONE = 0.25
STREAM = 7
"""Keeps these draws apart from others of the same seed."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Attributes:
    objectives: M names, in the order of w.
    beta: largest weight of each.
    """

    beta: float
    objectives: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 < self.beta <= MAX_BETA:
            raise RunError(f"rollouts.mixture.beta={self.beta:g}: must be above 0, at most {MAX_BETA:g}")
        if not self.objectives:
            raise RunError("rollouts.mixture.objectives: must name at least one objective")
        if len(set(self.objectives)) < len(self.objectives):
            raise RunError(f"rollouts.mixture.objectives={self.objectives}: must differ")

    def draw(self, seed: int, prompt: int) -> tuple[float, dict[str, float]]:
        """(s, lambda) of one prompt's tree, w = s * lambda: a function of the seed and the prompt's number."""
        rng = np.random.default_rng((seed, prompt, STREAM))
        count = len(self.objectives)
        alone = rng.random() < ALONE
        shares = np.zeros(count) if alone else rng.random(count)
        shares[rng.integers(count)] = 1
        strength = self.beta * (1.0 - rng.random())
        return strength, dict(zip(self.objectives, shares.tolist(), strict=True))
