"""Empathetic: words of feeling and of comfort ("sorry", "overwhelming", "you are not alone"), as a share of all words.

It sees that feelings are named, not whose they are or whether the words fit: "I feel like pizza" scores, help that is
given quietly does not. A question about feelings is answered with such words by anybody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from value_models.prompts import Prompt
from value_models.rewards.manners.wording import count, listed, phrases, share, words

FELT = listed(
    """
    afraid alone anxious anxiety appreciate care caring comfort comforting compassion compassionate concern concerned
    concerns cope difficult disappointed disappointing distress emotion emotional emotions empathize empathy
    encourage encouraging exhausted fear feel feeling feelings feels frustrated frustrating frustration gentle glad
    grief grieving heart hear hope hug hugs hurt kind kindness listen listening lonely loss love nervous okay
    overwhelmed overwhelming pain painful patience patient proud reassure reassuring sad scared scary sorry stress
    stressed stressful struggle struggling support supported supportive supporting sympathize tough understand
    understandable understanding upset valid validate worried worry worries worrying
    """
)
_COMFORT = re.compile(
    r"\bnot alone\b|\bhere (?:for you|to help)\b|\bit(?:'s| is) (?:ok|okay|normal|natural|all right|completely)\b"
    r"|\bthat (?:must|sounds)\b|\btake (?:your time|care|it easy|a deep breath)\b"
)


class Empathetic:
    name = "empathetic"
    description = "words of feeling and comfort (their share of the words)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [_score(words(response)) for response in responses]


def _score(found: Sequence[str]) -> float:
    return share(count(found, FELT) + phrases(found, _COMFORT), found)
