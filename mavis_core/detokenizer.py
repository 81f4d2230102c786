"""Token ids to visible text, one token at a time, with stop strings.

Holds back what may still change: bytes of an unfinished character (``tokenizers``' DecodeStream) and any
tail that could be the beginning of a stop string. A stop string is never shown, nor what follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers.decoders import DecodeStream

PROMPT_TAIL = 6


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
    """

    def __init__(
        self, tokenizer: Any | None, stops: Sequence[str], skip_special_tokens: bool, prompt: Sequence[int] = ()
    ) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._stream = DecodeStream(ids=list(prompt[-PROMPT_TAIL:]), skip_special_tokens=skip_special_tokens)
        self._skip_special_tokens = skip_special_tokens
        self._unfinished: list[int] = []
        self._pending = ""

    def push(self, token: int, check_stops: bool) -> tuple[str, str | None]:
        """Add a token; return (text that became final, the stop string that was completed or None)."""
        if self._tokenizer is None:
            return "", None
        piece = self._stream.step(self._tokenizer, token)
        if piece is None:
            self._unfinished.append(token)
            return "", None
        self._unfinished.clear()
        self._pending += piece
        return self._release(check_stops)

    def flush(self) -> str:
        """What is still held back, at the end of a choice (an unfinished character shows as U+FFFD)."""
        text, self._pending = self._pending, ""
        if self._unfinished and self._tokenizer is not None:
            text += self._tokenizer.decode(self._unfinished, skip_special_tokens=self._skip_special_tokens)
        return text

    def _release(self, check_stops: bool) -> tuple[str, str | None]:
        if not self._stops:
            text, self._pending = self._pending, ""
            return text, None
        if check_stops:
            found = min(((at, stop) for stop in self._stops if (at := self._pending.find(stop)) >= 0), default=None)
            if found is not None:
                text, self._pending = self._pending[: found[0]], ""
                self._unfinished.clear()
                return text, found[1]
        keep = held_back(self._pending, self._stops)
        text = self._pending[: len(self._pending) - keep]
        self._pending = self._pending[len(self._pending) - keep :]
        return text, None
