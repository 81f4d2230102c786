"""Runs of byte tokens, by which some vocabularies spell text that they have no token for.

The decoder reads a run as a whole: as characters if all of it is UTF-8, else as one U+FFFD per byte. So no character is
certain before the run ends, and they are held back, but not without bound: some scripts are spelled by nothing else. A
run that has been UTF-8 for ``HELD`` bytes counts as text, and its characters are released as they are completed; if it
stops being UTF-8 after all, only what is not released yet becomes U+FFFD.
"""

from __future__ import annotations

import codecs

from mavis_core.text.token_bytes import REPLACEMENT

HELD = 64


class ByteRun:
    """Attributes:
    held: characters of the run if it ended here, none of them released yet; empty once it is no longer UTF-8.
    """

    def __init__(self, half: bytes = b"") -> None:
        """``half``: the bytes before the run, of other tokens, with which its first character begins."""
        self.held = ""
        self._characters = codecs.getincrementaldecoder("utf-8")()
        self._characters.decode(half)
        self._bytes = 0  # of this run, not released yet
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
        """The rest of the text, at the end of the run."""
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
