"""Turns tokens into the text that they add to the tokens before, as soon as no later token can change it.

It is what the tokenizer's own decoder makes of all tokens together: unfinished characters wait for their rest, bytes
that belong to none become U+FFFD. No token sequence is an error. Text of the tokens before is never given out; a
character that they begin and the new tokens finish is given out whole.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence

from mavis_core.text.byte_run import ByteRun
from mavis_core.text.token_bytes import TokenBytes

LONGEST_BEGINNING = 3  # bytes that an unfinished character can have


class RunningText:
    """Args:
        pieces: of the tokenizer.
        skip_special_tokens: leave special tokens out.
        before: token ids that the text goes on from.
        shown: special tokens that are left in nevertheless.

    Attributes:
        last: the token that the next one follows, of those that are not skipped; None at the beginning of a text.
    """

    def __init__(
        self,
        pieces: TokenBytes,
        skip_special_tokens: bool,
        before: Sequence[int] = (),
        shown: Collection[int] = (),
    ) -> None:
        self._pieces, self._skip, self._shown = pieces, skip_special_tokens, shown
        self.last = next((token for token in reversed(before) if self._shows(token)), None)
        self._half = self._unfinished(before)
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._whole = True  # no character is unfinished
        self._run: ByteRun | None = None

    @property
    def held(self) -> str:
        """Whole characters that may still change."""
        return "" if self._run is None else self._run.held

    def add(self, token: int) -> str:
        """Add a token; the text that became final."""
        pieces = self._pieces
        if not self._shows(token):
            return ""
        data, self.last = pieces(token, self.last), token
        byte = pieces.lone.get(token)
        if byte is not None:
            if self._run is None:
                self._run = ByteRun(self._taken_up(bytes([byte])))
            return self._run.add(byte, silent=not data)
        if self._run is None and self._whole and data.isascii():
            self._half = b"" if data else self._half
            return data.decode()
        text = self._close_run()
        if self._half and data:
            self._characters.decode(self._taken_up(data))
        text += self._characters.decode(data)
        self._whole = not self._characters.getstate()[0]
        return text

    def close(self) -> str:
        """The rest of the text, at its end; an unfinished character becomes U+FFFD."""
        self._whole = True
        return self._close_run() + self._characters.decode(b"", final=True)

    def drop(self) -> None:
        """Drop the text that is held back."""
        self._run, self._whole = None, True
        self._characters.reset()

    def _shows(self, token: int) -> bool:
        return self._pieces.shows(token, self._skip and token not in self._shown)

    def _close_run(self) -> str:
        run, self._run = self._run, None
        return "" if run is None else run.close()

    def _taken_up(self, data: bytes) -> bytes:
        """The unfinished character of the tokens before, if ``data`` continues it."""
        half, self._half = self._half, b""
        try:
            codecs.getincrementaldecoder("utf-8")().decode(half + data[:1])
        except UnicodeDecodeError:
            return b""
        return half

    def _unfinished(self, before: Sequence[int]) -> bytes:
        tail = b""
        for token in reversed(before):
            if len(tail) >= LONGEST_BEGINNING:
                break
            if self._shows(token):
                tail = self._pieces(token, self.last) + tail
        characters = codecs.getincrementaldecoder("utf-8")("replace")
        characters.decode(tail[-LONGEST_BEGINNING:])
        return characters.getstate()[0]
