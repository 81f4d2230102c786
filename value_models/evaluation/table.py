"""All answers of an evaluation as arrays over points and prompts: what the analysis computes on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from value_models.evaluation.points import BASE, Point
from value_models.evaluation.sampling import SampledAnswer

Array = NDArray[np.float64]
WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Table:
    """X points on P prompts; every entry is a mean over a prompt's samples.

    Attributes:
        points: the base first.
        rewards: (X, P, M) z-units.
        steering, truncation: (X, P) nats per response.
        tokens, drawn, seconds: (X, P) per response.
        base_nll: (X, P) nats per response.
        distinct2: (X,) see ``distinct2``.
        base_correlation: (M, M) of rewards over the base model's answers.
    """

    points: tuple[Point, ...]
    rewards: Array
    steering: Array
    truncation: Array
    tokens: Array
    drawn: Array
    seconds: Array
    base_nll: Array
    distinct2: Array
    base_correlation: Array

    def curves(self, arm: str) -> dict[float, list[int]]:
        """share -> indices of the arm's points; only the shares that it has."""
        found: dict[float, list[int]] = {}
        for i, point in enumerate(self.points):
            if point.arm == arm and point.share is not None:
                found.setdefault(point.share, []).append(i)
        return found

    @property
    def arms(self) -> list[str]:
        """In order, without the base."""
        return list(dict.fromkeys(point.arm for point in self.points if point.arm != BASE))

    def strengths(self, arm: str) -> dict[str, list[int]]:
        """strength -> indices of the arm's points, share by share."""
        found: dict[str, list[int]] = {}
        for i, point in enumerate(self.points):
            if point.arm == arm:
                found.setdefault(point.strength, []).append(i)
        return found

    def perplexity(self, point: int) -> float:
        """Under the base model, per token of all the point's responses."""
        return float(np.exp(self.base_nll[point].sum() / self.tokens[point].sum()))


def tabulate(points: Sequence[Point], answers: Sequence[Sequence[SampledAnswer]], rewards: Sequence[Array]) -> Table:
    """Answers and z-scored rewards (N, M) of every point, in the order of prompts and samples."""

    def column(name: str) -> Array:
        return np.array([_by_prompt(each, np.array([getattr(a, name) for a in each])) for each in answers])

    return Table(
        points=tuple(points),
        rewards=np.array([_by_prompt(each, scores) for each, scores in zip(answers, rewards, strict=True)]),
        steering=column("steering_nats"),
        truncation=column("truncation_nats"),
        tokens=column("tokens"),
        drawn=column("drawn"),
        seconds=column("seconds"),
        base_nll=column("base_nll"),
        distinct2=np.array([distinct2([a.text for a in each]) for each in answers]),
        base_correlation=np.atleast_2d(np.corrcoef(rewards[0].T)),
    )


def distinct2(texts: Sequence[str]) -> float:
    """Different pairs of neighbouring words over all such pairs (distinct-2, Li et al. 2016), lower case; NaN of none.

    It falls with the amount of text, so it compares arms whose answers are about as long.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for text in texts:
        words = WORD.findall(text.lower())
        pairs.update(pairwise(words))
    return len(pairs) / pairs.total() if pairs else float("nan")


def _by_prompt(answers: Sequence[SampledAnswer], values: Array) -> Array:
    """Mean over each prompt's samples: (N, ...) -> (P, ...); prompts stand in order, equally many samples each."""
    prompts = answers[-1].prompt + 1
    return np.asarray(values.reshape(prompts, len(answers) // prompts, *values.shape[1:]).mean(axis=1))
