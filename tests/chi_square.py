"""Pearson's chi-square test of counts against exact probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

import torch

Outcome = TypeVar("Outcome", bound=Hashable)


def p_value(draws: Iterable[Outcome], probabilities: Mapping[Outcome, float], least: float = 5.0) -> float:
    """Chance of a fit at least this bad; cells that expect fewer than ``least`` draws are pooled.

    A draw that has no probability makes it 0.
    """
    counts = Counter(draws)
    total = sum(counts.values())
    if any(probabilities.get(outcome, 0.0) <= 0 for outcome in counts):
        return 0.0
    cells: list[tuple[float, float]] = []
    pooled = [0.0, 0.0]
    for outcome, probability in probabilities.items():
        if probability * total >= least:
            cells.append((counts[outcome], probability * total))
        else:
            pooled[0] += counts[outcome]
            pooled[1] += probability * total
    if pooled[1] >= least:
        cells.append((pooled[0], pooled[1]))
    assert len(cells) > 1, "too few draws to test anything"
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in cells)
    freedom = torch.tensor((len(cells) - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(freedom, torch.tensor(statistic / 2, dtype=torch.float64)))
