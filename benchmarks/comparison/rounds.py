"""Arms in turn, round after round: a machine that drifts drifts for all of them.

A ratio is the median over rounds of the round's own quotient, so that what is divided was measured side by side.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def in_turn(arms: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What every arm returned, round by round. Nothing is run to warm up."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            found[name].append(arm())
    return found


def seconds(run: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def quotient(above: Sequence[float], below: Sequence[float]) -> float:
    """Median over rounds of the round's own quotient; both have every round."""
    return round(statistics.median(x / y for x, y in zip(above, below, strict=True)), 3)


def medians(found: Mapping[str, Sequence[float]], digits: int = 1) -> dict[str, float]:
    """The median of every arm."""
    return {name: round(statistics.median(each), digits) for name, each in found.items()}
