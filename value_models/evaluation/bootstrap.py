"""Paired bootstrap over prompts: every arm is measured again on the same resampled prompts.

Samples of one prompt are not independent, so prompts are what is drawn. Differences between arms are taken within a
resample; most of what prompts differ by cancels there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate on all prompts and the middle 95 % of its resamples."""

    estimate: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def resamples(prompts: int, count: int, seed: int) -> Array:
    """Shares of P prompts: (count + 1, P), the first row the sample itself, each row summing to 1."""
    drawn = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=count)
    return np.asarray(np.concatenate((np.ones((1, prompts)), drawn)) / prompts)


def means(shares: Array, per_prompt: Array) -> Array:
    """Means over prompts in every resample: shares (R, P), per_prompt (X, P, ...) -> (R, X, ...)."""
    return np.asarray(np.tensordot(shares, per_prompt, axes=(1, 1)))


def interval(found: Array) -> Interval:
    """Of a figure in every resample: (R,), the first on the sample itself."""
    low, high = np.percentile(found[1:], [2.5, 97.5])
    return Interval(float(found[0]), float(low), float(high))
