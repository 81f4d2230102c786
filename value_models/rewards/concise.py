"""Concise: fewer words are better, linearly, down to a floor.

Words are what white space separates, so the reward does not depend on any tokenizer. The floor keeps one rambling
response from dominating the mean that a value is trained on. Nothing is asked of what the words say: silence scores
best, and of responses beyond the floor none is better than another.
"""

from __future__ import annotations

from collections.abc import Sequence

from value_models.prompts import Prompt

WORDS_PER_UNIT = 20
FLOOR = -3.0


class Concise:
    name = "concise"
    description = "few words (minus the number of words / 20, not below -3)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [max(FLOOR, -len(response.split()) / WORDS_PER_UNIT) for response in responses]
