"""Curious: does the response ask something, best of all as its last word to the user.

Closing quotes, brackets, spaces and further marks after the question mark do not count: `Really?!` and `("Why?")` end
in a question. An answer that is cut off before its question has none; what is asked does not count ("How can I help?").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from value_models.prompts import Prompt

_ENDS_IN_QUESTION = re.compile(r"\?[\s\"'’”»)\]}*_!.?]*$")


class Curious:
    name = "curious"
    description = "asks back (1 if it ends in a question, 0.5 if it asks one anywhere, else 0)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [_score(response) for response in responses]


def _score(response: str) -> float:
    if _ENDS_IN_QUESTION.search(response):
        return 1.0
    return 0.5 if "?" in response else 0.0
