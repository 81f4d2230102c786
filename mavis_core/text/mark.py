"""Whether a text that is written token by token has come to one of several marks, however the tokens cut it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mavis_core.text.token_bytes import token_bytes_of


class Mark:
    """Looks for marks in the bytes of the tokens, special ones included.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``.
        marks: what to look for; "" is there at once.

    Attributes:
        passed: whether one of them has come.
    """

    def __init__(self, tokenizer: Any, marks: Sequence[str]) -> None:
        self._pieces, self._marks = token_bytes_of(tokenizer), [mark.encode() for mark in marks]
        self._kept = max(map(len, self._marks)) - 1  # bytes that may begin a mark
        self._tail = b""
        self._last: int | None = None
        self.passed = "" in marks

    def add(self, token: int) -> None:
        if self.passed or not self._pieces.shows(token, skip_special_tokens=False):
            return
        text = self._tail + self._pieces(token, self._last)
        self._last = token
        self.passed = any(mark in text for mark in self._marks)
        self._tail = text[max(0, len(text) - self._kept) :]
