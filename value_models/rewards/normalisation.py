"""z-scoring constants of rewards, measured on samples of the base model and stored with every value.

Without them nobody can say what a weight of 1 means: values, weights and betas are all in units of one standard
deviation of the reward over the base model's own answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mavis_core.api.errors import RewardError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Of M rewards: (M,) float64 each, std above 0."""

    mean: Array
    std: Array

    @classmethod
    def measure(cls, names: Sequence[str], rewards: Array, share: Array) -> Normalisation:
        """Weighted mean and standard deviation.

        Args:
            names: of the M rewards, for messages.
            rewards: (N, M) of base-model samples.
            share: (N,) how much each sample counts, not negative.

        Raises:
            RewardError: a reward is the same for every sample, so that no value can be learned.
        """
        share = share / share.sum()
        mean = share @ rewards
        std = np.sqrt(share @ (rewards - mean) ** 2)
        for name, m, s in zip(names, mean, std, strict=True):
            if not s > 1e-9 * max(1.0, abs(m)):
                raise RewardError(name, f"gave {m:g} for every one of {len(rewards)} samples of the base model")
        return cls(mean, std)

    def apply(self, rewards: Array) -> Array:
        """(N, M) raw -> z-units."""
        return (rewards - self.mean) / self.std
