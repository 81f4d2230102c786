"""Whether a text that is written token by token has come to a mark, however the tokens cut it."""

from __future__ import annotations

from typing import Any

from mavis_core.text.token_bytes import token_bytes_of


class Mark:
    """Looks for a mark in the bytes of the tokens, special ones included.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``.
        mark: what to look for; "" is there at once.

    Attributes:
        passed: whether it has come.
    """

    def __init__(self, tokenizer: Any, mark: str) -> None:
        self._pieces, self._mark = token_bytes_of(tokenizer), mark.encode()
        self._tail = b""
        self._last: int | None = None
        self.passed = not mark

    def add(self, token: int) -> None:
        if self.passed or not self._pieces.shows(token, skip_special_tokens=False):
            return
        text = self._tail + self._pieces(token, self._last)
        self._last = token
        self.passed = self._mark in text
        self._tail = text[max(0, len(text) - len(self._mark) + 1) :]
