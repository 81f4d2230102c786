"""Whether resident memory stays where it was once everything has been used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALLOWED_MIB = 64.0
LEAST_SAMPLES = 4


@dataclass(frozen=True)
class Flatness:
    """Attributes:
    warm_mib: at the end of the warm-up.
    rise_mib: the highest of the last quarter, over that.
    trend_mib: least-squares slope after the warm-up times that time: what a leak would have added.
    """

    warm_mib: float
    rise_mib: float
    trend_mib: float
    allowed_mib: float = ALLOWED_MIB

    @property
    def flat(self) -> bool:
        """Both measures: a leak shows as a trend before it is a rise, and one late jump as a rise alone."""
        return max(self.rise_mib, self.trend_mib) <= self.allowed_mib


def flatness(samples: Sequence[tuple[float, float]], warm_seconds: float) -> Flatness | None:
    """None where too few samples lie behind the warm-up to say anything.

    Args:
        samples: seconds since the start and MiB, in order.
    """
    after = np.array([sample for sample in samples if sample[0] >= warm_seconds], dtype=np.float64)
    if len(after) < LEAST_SAMPLES:
        return None
    seconds, mib = after[:, 0], after[:, 1]
    slope = np.polyfit(seconds - seconds[0], mib, 1)[0]
    last = mib[seconds >= seconds[-1] - (seconds[-1] - seconds[0]) / 4]
    return Flatness(float(mib[0]), float(last.max() - mib[0]), float(slope * (seconds[-1] - seconds[0])))
