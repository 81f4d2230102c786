"""JSON in which nothing but one text differs from one time to the next: the rest is encoded once.

Most events of a stream are such: their encoding is that of the first of their kind with another text in it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import orjson

MARK = secrets.token_hex(16)  # nobody can know it, so that nothing else in any JSON is taken for it


class JsonTemplate:
    """Args: encode: JSON, or several of them in a row, with the text wherever it belongs as a string of its own."""

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        self._around = encode(MARK).split(orjson.dumps(MARK))

    def fill(self, text: str) -> bytes:
        """What ``encode(text)`` gives."""
        return orjson.dumps(text).join(self._around)
