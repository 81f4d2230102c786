"""Byte tokens in a row, of vocabularies that spell what they have no word for in bytes.

The decoder reads a row of them as one: characters if all of it is UTF-8, else U+FFFD for every byte of it. So nothing
of a row is certain before it ends, and its characters are held back, but not without bound: some scripts are written in
nothing else. A row that has been text for ``HELD`` bytes is taken for text, and its characters come out as they are
completed; should it stop being UTF-8 after all, only what is not out yet becomes U+FFFD.
"""

from __future__ import annotations

import codecs

from mavis_core.text.token_bytes import REPLACEMENT

HELD = 64


class ByteRun:
    """Attributes:
    held: characters that the row has if it ends here, none of them out yet; empty once it is no longer UTF-8.
    """

    def __init__(self, half: bytes = b"") -> None:
        """``half``: bytes before the row that are part of its first character and belong to somebody else."""
        self.held = ""
        self._characters = codecs.getincrementaldecoder("utf-8")()
        self._characters.decode(half)
        self._bytes = 0  # of this row, not yet out
        self._trusted = self._spoiled = False

    def add(self, byte: int, silent: bool) -> str:
        """Text that became final; a ``silent`` byte is a character that the decoder drops."""
        self._bytes += 1
        if not self._spoiled:
            try:
                character = self._characters.decode(bytes([byte]))
                self.held += "" if silent else character
            except UnicodeDecodeError:
                self._spoiled = True
        if self._spoiled:
            return self._replaced()
        self._trusted = self._trusted or self._bytes > HELD
        return self._release() if self._trusted else ""

    def close(self) -> str:
        """What is not out yet, where the row ends."""
        return self._replaced() if self._spoiled or self._unfinished else self._release()

    @property
    def _unfinished(self) -> bytes:
        return self._characters.getstate()[0]

    def _release(self) -> str:
        text, self.held = self.held, ""
        self._bytes = len(self._unfinished)
        return text

    def _replaced(self) -> str:
        text, self._bytes, self.held = REPLACEMENT * self._bytes, 0, ""
        return text
