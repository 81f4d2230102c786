"""The text and the exact bytes of single tokens, for ``logprobs`` and reports.

A token may be half a character, so its decoded text alone cannot be put together again; OpenAI's ``bytes`` can
("Create chat completion" page, logprobs). What a token adds depends on where it stands: sentencepiece vocabularies drop
the space before the first word of a text and nowhere else. So tokens are read in order, by one ``Reading`` per text,
and their bytes together are the bytes of the text.
"""

from __future__ import annotations

from collections.abc import Sequence

from mavis_core.api.reasoning import Reasoning
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.text.reasoning import ReasoningTracker
from mavis_core.text.running_text import RunningText
from mavis_core.text.token_bytes import TokenBytes, token_bytes_of


class TokenText:
    """What all readings of one tokenizer's tokens share."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._pieces = token_bytes_of(self._backend)

    def reading(self, skip_special_tokens: bool, before: Sequence[int] = ()) -> Reading:
        """A reading of a text that continues the tokens ``before``, or begins if there are none."""
        return Reading(self._pieces, skip_special_tokens, before)

    def tracker(self, reasoning: Reasoning) -> ReasoningTracker:
        """Which tokens of an answer, from its first one on, belong to its reasoning."""
        return ReasoningTracker(self._backend, reasoning)


class Reading:
    """One text's tokens in order.

    Attributes:
        offset: characters of the text before the next token. Tokens that make up one character have the same offset.
    """

    def __init__(self, pieces: TokenBytes, skip_special_tokens: bool, before: Sequence[int]) -> None:
        self._pieces, self._skip = pieces, skip_special_tokens
        self._text = RunningText(pieces, skip_special_tokens, before)
        self._final = self.offset = 0

    def bytes_of(self, token_id: int) -> bytes:
        """The bytes of a token that might stand here; a special token's spelling even if the text leaves it out."""
        return self._pieces(token_id, self._text.last)

    def text_of(self, token_id: int) -> str:
        """The text of a token that might stand here, with U+FFFD for parts of characters."""
        return self.bytes_of(token_id).decode(errors="replace")

    def visible(self, token_id: int) -> str:
        """The text of a token, empty if the text leaves it out."""
        return self.text_of(token_id) if self._pieces.shows(token_id, self._skip) else ""

    def read(self, token_id: int) -> None:
        """Move on behind the token that stands here."""
        self._final += len(self._text.add(token_id))
        self.offset = self._final + len(self._text.held)

    def read_in(self, text: str, token_id: int) -> None:
        """Move on likewise in a known ``text``, which may have left out a special token."""
        if token_id not in self._pieces.special or text.startswith(self.text_of(token_id), self.offset):
            self.read(token_id)
        self.offset = min(self.offset, len(text))
