"""What ranks hypotheses: the values that steer, at the last token, or rewards of the whole text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mavis_core.messages import ObjectiveInfo


class SequenceScorer(Protocol):
    """Scores of whole texts, or of their beginnings."""

    @property
    def names(self) -> Sequence[str]:
        """The M objectives that it scores."""
        ...

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequence[Sequence[float]]:
        """(N, M), raw; called off the event loop. ``prompts`` are the text of the prompt's tokens."""
        ...


def standardise(names: Sequence[str], scores: Sequence[float], objectives: Sequence[ObjectiveInfo]) -> dict[str, float]:
    """Raw scores in z-units, by the constants of the objectives of the same names."""
    known = {objective.name: objective for objective in objectives}
    found = zip(names, scores, strict=True)
    return {n: (score - known[n].reward_mean) / known[n].reward_std for n, score in found if n in known}


def weighted(weights: Mapping[str, float], scores: Mapping[str, float]) -> float:
    """sum_m lambda_m score_m; every weighted objective must be among ``scores``."""
    return sum(weight * scores[name] for name, weight in weights.items() if weight)
