"""Structured: the share of lines that are points of a list or headings, 0 where there are fewer than two.

It sees layout, not order of thought: "first ..., then ..." in running prose is none, and a list of three words that say
the same is a perfect one. What is cut off early may end before its list begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from value_models.prompts import Prompt

LEAST = 2
_POINT = re.compile(
    r"\s*(?:[-*•–]\s|\(?(?:\d{1,2}|[a-zA-Z])[.)]\s|\**step \d+|#{1,6}\s|\*\*.+\*\*:?\s*$)", re.IGNORECASE
)


class Structured:
    name = "structured"
    description = "a list of points (share of lines that are points or headings)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [_score(response) for response in responses]


def _score(text: str) -> float:
    lines = [line for line in text.splitlines() if line.strip()]
    points = sum(_POINT.match(line) is not None for line in lines)
    return points / len(lines) if points >= LEAST else 0.0
