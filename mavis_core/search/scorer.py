"""What ranks hypotheses: the values that steer, at the last token, or rewards of the whole text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class SequenceScorer(Protocol):
    """Scores of whole texts, or of their beginnings."""

    @property
    def names(self) -> Sequence[str]:
        """The M objectives that it scores."""
        ...

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequence[Sequence[float]]:
        """(N, M) in z-units; called off the event loop. ``prompts`` are the text of the prompt's tokens."""
        ...


def weighted(weights: Mapping[str, float], scores: Mapping[str, float]) -> float:
    """sum_m lambda_m score_m; every weighted objective must be among ``scores``."""
    return sum(weight * scores[name] for name, weight in weights.items() if weight)
