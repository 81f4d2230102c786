"""What a whole text is worth: by the values at its tokens, by its rewards, by both at a request's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mavis_core.api.messages import ObjectiveInfo, TokenReport


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
