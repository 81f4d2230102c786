"""The bytes that a token adds to a text, whatever kind of vocabulary it is from.

The tokenizer's own decoder tells them: they are what it adds for the token behind another one. Text cannot show a token
that is only part of a character; byte-level vocabularies spell each of its bytes as one printable character,
sentencepiece ones with byte fallback as ``<0xE2>``. Many decoders drop a leading space at the beginning of a text, so a
token has two forms.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in -> byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


class TokenBytes:
    """Token id and the token before it -> bytes, remembered: the same few thousand tokens make up most answers.

    Args:
        backend: a ``tokenizers.Tokenizer``; how its decoder writes a token may depend on the token before it, not on
            earlier ones.

    Attributes:
        special: ids of special tokens.
        lone: id -> byte, of the tokens that stand for a single byte where a vocabulary has no better.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        kind = str(backend.decoder)
        self._alphabet = byte_alphabet() if "ByteLevel" in kind else {}
        self._by_neighbour = "BPEDecoder" in kind or "CTC" in kind  # these join words or drop repeats
        self.special = frozenset(i for i, added in backend.get_added_tokens_decoder().items() if added.special)
        spelled = {f"<0x{byte:{form}}>": byte for byte in range(256) for form in ("02X", "02x")}
        found = {backend.token_to_id(token): byte for token, byte in spelled.items()}
        self.lone = {i: b for i, b in found.items() if i is not None} if "ByteFallback" in kind else {}
        self._ordinary = next(filter(self._is_ordinary, range(backend.get_vocab_size())), None)
        self._known: dict[int, bool] = {}
        self._first: dict[int, bytes] = {}
        self._later: dict[int, bytes] = {}

    def shows(self, token: int, skip_special_tokens: bool) -> bool:
        """Whether a decoder sees it at all: not skipped, and an id that the vocabulary has (a model may have more)."""
        known = self._known.get(token)
        if known is None:
            known = self._known[token] = self._backend.id_to_token(token) is not None
        return known and not (skip_special_tokens and token in self.special)

    def __call__(self, token: int, before: int | None) -> bytes:
        """The bytes that ``token`` adds behind ``before``; None is the beginning of a text."""
        if before is not None and self._by_neighbour:
            return self._look_up(token, before)
        known, neighbour = (self._first, None) if before is None else (self._later, self._ordinary)
        found = known.get(token)
        if found is None:
            found = known[token] = self._look_up(token, neighbour)
        return found

    def _look_up(self, token: int, before: int | None) -> bytes:
        text = self._added(token, before)
        if REPLACEMENT in text and token in self.lone:
            return bytes([self.lone[token]])
        spelled = self._backend.id_to_token(token) or ""
        if REPLACEMENT in text and self._alphabet and all(char in self._alphabet for char in spelled):
            return bytes(self._alphabet[char] for char in spelled)
        return text.encode()

    def _added(self, token: int, before: int | None) -> str:
        if before is None:
            return self._decode(token)
        both, alone = self._decode(before, token), self._decode(before)
        return both[len(alone) :] if both.startswith(alone) else self._decode(token)

    def _is_ordinary(self, token: int) -> bool:
        """Whether it is a word or a piece of one, behind which other tokens can be decoded."""
        if token in self.special or token in self.lone:
            return False
        text = self._decode(token)
        return text.strip() != "" and REPLACEMENT not in text

    def _decode(self, *tokens: int) -> str:
        text: str = self._backend.decode(list(tokens), skip_special_tokens=False)
        return text


@lru_cache(maxsize=4)
def token_bytes_of(backend: Any) -> TokenBytes:
    """The same object for every user of one tokenizer, because it remembers what it has looked up."""
    return TokenBytes(backend)
