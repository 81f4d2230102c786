"""What ranks hypotheses: the values that steer, at the last token, or rewards of the whole text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mavis_core.api.messages import ObjectiveInfo, TokenReport


class SequenceScorer(Protocol):
    """Scores of whole texts, or of their beginnings."""

    @property
    def names(self) -> Sequence[str]:
        """The M objectives that it scores."""
        ...

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequence[Sequence[float]]:
        """(N, M), raw; called off the event loop. ``prompts`` are the text of the prompt's tokens."""
        ...


def text_values(reports: Sequence[TokenReport], objectives: Sequence[ObjectiveInfo]) -> dict[str, float]:
    """The values of a text by the reports of its tokens: V at the last one, or the sum of additive ones.

    Objectives in words, which are not among the loaded ``objectives``, are additive.
    """
    whole = {objective.name for objective in objectives if not objective.additive}
    last = reports[-1].values
    return {name: last[name] if name in whole else sum(r.values[name] for r in reports) for name in last}


def standardise(names: Sequence[str], scores: Sequence[float], objectives: Sequence[ObjectiveInfo]) -> dict[str, float]:
    """Raw scores in z-units, by the constants of the objectives of the same names."""
    known = {objective.name: objective for objective in objectives}
    found = zip(names, scores, strict=True)
    return {n: (score - known[n].reward_mean) / known[n].reward_std for n, score in found if n in known}


def weighted(weights: Mapping[str, float], scores: Mapping[str, float]) -> float:
    """sum_m lambda_m score_m; every weighted objective must be among ``scores``."""
    return sum(weight * scores[name] for name, weight in weights.items() if weight)
