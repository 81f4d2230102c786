"""Paired bootstrap over prompts: every arm is measured again on the same resampled prompts.

Samples of one prompt are not independent, so prompts are what is drawn. Differences between arms are taken within a
resample; most of what prompts differ by cancels there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bound = Literal["exact", "at least", "at most"]


class Interval(NamedTuple):
    """An estimate on all prompts and the middle 95 % of its resamples; what ``bound`` says of the figure meant."""

    estimate: float
    low: float
    high: float
    bound: Bound = "exact"

    @property
    def sign(self) -> int:
        """1 or -1 where the interval, and all that the bound leaves open, lies on one side of 0, else 0."""
        above = self.low > 0 and self.bound != "at most"
        below = self.high < 0 and self.bound != "at least"
        return int(above) - int(below)


def resamples(prompts: int, count: int, seed: int) -> Array:
    """Shares of P prompts: (count + 1, P), the first row the sample itself, each row summing to 1."""
    drawn = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=count)
    return np.asarray(np.concatenate((np.ones((1, prompts)), drawn)) / prompts)


def means(shares: Array, per_prompt: Array) -> Array:
    """Means over prompts in every resample: shares (R, P), per_prompt (X, P, ...) -> (R, X, ...)."""
    return np.asarray(np.tensordot(shares, per_prompt, axes=(1, 1)))


def interval(found: Array, bound: Bound = "exact") -> Interval:
    """Of a figure in every resample: (R,), the first on the sample itself."""
    low, high = np.percentile(found[1:], [2.5, 97.5])
    return Interval(float(found[0]), float(low), float(high), bound)
