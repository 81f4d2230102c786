"""Token ids to visible text, one token at a time, with stop strings.

Holds back text that may still change (``running_text.py``) and any tail that could begin a stop string. A stop string
and what follows it are never shown; it is found as soon as it is complete, also in text that is held back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from mavis_core.text.running_text import RunningText
from mavis_core.text.token_bytes import token_bytes_of


def held_back(text: str, stops: Sequence[str]) -> int:
    """Length of the longest tail of ``text`` that is a proper prefix of some stop string."""
    longest = min(len(text), max((len(stop) for stop in stops), default=1) - 1)
    for length in range(longest, 0, -1):
        tail = text[-length:]
        if any(len(stop) > length and stop.startswith(tail) for stop in stops):
            return length
    return 0


class Detokenizer:
    """Incremental text of one choice.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``, or None when text is not wanted (token-only use).
        stops: stop strings.
        skip_special_tokens: leave special tokens out.
        prompt: token ids before the answer: whether its first word keeps its leading space depends on them.
        shown: special tokens that are left in nevertheless.
    """

    def __init__(
        self,
        tokenizer: Any | None,
        stops: Sequence[str],
        skip_special_tokens: bool,
        prompt: Sequence[int] = (),
        shown: Collection[int] = (),
    ) -> None:
        self._text = (
            None if tokenizer is None else RunningText(token_bytes_of(tokenizer), skip_special_tokens, prompt, shown)
        )
        self._stops = stops
        self._pending = ""
        self._seen = 0  # characters, pending and held, that were searched for stop strings

    def push(self, token: int, check_stops: bool) -> tuple[str, str | None]:
        """Add a token; return (text that became final, the stop string that was completed or None)."""
        if self._text is None:
            return "", None
        if not self._stops:
            return self._text.add(token), None
        settled, held = len(self._pending), self._text.held
        self._pending += self._text.add(token)
        there = self._pending + self._text.held
        if not there.startswith(held, settled):  # what was held back has become other text
            self._seen = settled
        if check_stops and (found := self._find(there)) is not None:
            self._pending = ""
            self._text.drop()
            return there[: found[0]], found[1]
        return self._release(self._text.held), None

    def flush(self) -> str:
        """The text that is still held back, at the end of a choice; an unfinished character becomes U+FFFD."""
        if self._text is None:
            return ""
        text, self._pending = self._pending + self._text.close(), ""
        return text

    def _find(self, text: str) -> tuple[int, str] | None:
        """The first stop string that ends in what is new, and where it begins."""
        starts = ((text.find(stop, max(0, self._seen - len(stop) + 1)), stop) for stop in self._stops)
        return min((found for found in starts if found[0] >= 0), default=None)

    def _release(self, held: str) -> str:
        ready = len(self._pending) - held_back(self._pending, self._stops)
        text, self._pending = self._pending[:ready], self._pending[ready:]
        self._seen = len(self._pending) + len(held)
        return text
