"""Cheerful: how positive the wording is, by VADER's compound score.

A lexicon with rules, not a network: it costs microseconds, and its mistakes (irony, "no problem") are easy to see in
samples. Its sum over a text is squeezed into -1 ... 1, so that a long text with a few friendly words is at the end of
the scale already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from value_models.prompts import Prompt


class Cheerful:
    name = "cheerful"
    description = "positive, friendly wording (VADER compound score, -1 to 1)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        polarity = _polarity()
        return [polarity(response)["compound"] for response in responses]


@cache
def _polarity() -> Callable[[str], dict[str, float]]:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise ImportError("the reward 'cheerful' needs vaderSentiment: install mavis-server[train]") from error
    polarity: Callable[[str], dict[str, float]] = SentimentIntensityAnalyzer().polarity_scores
    return polarity
