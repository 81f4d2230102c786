"""What rewards for manners of speaking count: the words of a text, and how many of them are of some kind.

A share of words, unlike a number of them, does not grow with the text. It is coarse in a short one: of five words each
is a fifth.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


def words(text: str) -> list[str]:
    """Lower-case, apostrophes straight and inside: "It's 5 o’clock." -> it's, o'clock."""
    return _WORD.findall(text.lower().replace("’", "'"))


def listed(text: str) -> frozenset[str]:
    """A list of words that is written as one text."""
    return frozenset(text.split())


def share(found: float, text_words: Sequence[str]) -> float:
    """Of ``found`` things among these words; a text without words counts as one of one."""
    return found / max(1, len(text_words))


def count(text_words: Sequence[str], kind: Container[str]) -> int:
    return sum(word in kind for word in text_words)


def phrases(text_words: Sequence[str], pattern: re.Pattern[str]) -> int:
    """How often a pattern is found in the words, one space between them."""
    return sum(1 for _ in pattern.finditer(" ".join(text_words)))
