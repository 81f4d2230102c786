"""Which texts that a policy wrote as a user are prompts: whole, readable, not repeating themselves, all different, and
a user's.

Rules that anybody can check by eye, and no model: what a small policy writes badly is broken in plain ways.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

FEWEST_WORDS, MOST_CHARACTERS = 3, 1200
LETTERS = 0.6
SAME_BEGINNING = 8
"""Prompts whose first so many words are the same are the same."""
MOST_OFTEN = 0.3
"""Share of all words that one word may be, in a text of ten or more."""

ASSISTANT = re.compile(
    r"\bhow (?:can|may) i (?:help|assist) you\b|\bwhat can i do for you\b|\bas an ai\b|\bi(?:'m| am) an? ai\b"
    r"|\bi(?:'m| am) (?:here|happy|glad) to (?:help|assist)\b|^(?:sure|certainly|of course)[!,.]",
    re.IGNORECASE | re.MULTILINE,
)
"""What a policy says that has taken the other's part: it greets and offers help where it was to ask."""


class QuestionFilter:
    """Judges texts one after the other.

    Args:
        kept: what has passed before.
    """

    def __init__(self, kept: Sequence[str] = ()) -> None:
        self.kept: list[str] = []
        self._seen: set[tuple[str, ...]] = set()
        for text in kept:
            self._keep(text, _words(text))

    def judge(self, text: str | None) -> str | None:
        """Why a text is refused; None if it is kept.

        Args:
            text: None is one that did not come to its end.
        """
        if text is None:
            return "not ended"
        words = _words(text)
        if len(words) < FEWEST_WORDS or len(text) > MOST_CHARACTERS:
            return "too short or too long"
        readable = sum(c.isalpha() or c == " " for c in text)
        if readable < LETTERS * len(text) or "\ufffd" in text or "<|" in text:
            return "not words"
        if len(words) >= 10 and Counter(words).most_common(1)[0][1] > MOST_OFTEN * len(words):
            return "repeating itself"
        if ASSISTANT.search(text.replace("\u2019", "'")):
            return "the assistant's words"
        if not self._seen.isdisjoint(_keys(words)):
            return "there already"
        self._keep(text, words)
        return None

    def _keep(self, text: str, words: Sequence[str]) -> None:
        self.kept.append(text)
        self._seen.update(_keys(words))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _keys(words: Sequence[str]) -> set[tuple[str, ...]]:
    """Texts that share one of these are the same: equal sets of words, or an equal beginning of some length."""
    keys = {("set", *sorted(set(words)))}
    if len(words) >= SAME_BEGINNING:
        keys.add(("beginning", *words[:SAME_BEGINNING]))
    return keys
