"""The text and the exact bytes of a single token, for ``logprobs`` and reports.

A token may be half a character, so its decoded text alone cannot be put together again; OpenAI's ``bytes`` can
("Create chat completion" page, logprobs). Byte-level vocabularies spell each byte as one printable character;
sentencepiece ones write lone bytes as ``<0xE2>``. Tokens that are neither give the bytes of their decoded text.
"""

from __future__ import annotations

import re

from mavis_core.tokenizer import Tokenizer

LONE_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in -> byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


class TokenText:
    """Token id -> (text, bytes), remembered: the same few thousand tokens make up most answers."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._alphabet = byte_alphabet() if "ByteLevel" in str(tokenizer.backend_tokenizer.decoder) else None
        self._special = set(tokenizer.all_special_ids)
        self._known: dict[int, tuple[str, list[int]]] = {}

    def __call__(self, token_id: int) -> tuple[str, list[int]]:
        found = self._known.get(token_id)
        if found is None:
            found = self._known[token_id] = self._look_up(token_id)
        return found

    def visible(self, token_id: int, skip_special_tokens: bool) -> str:
        return "" if skip_special_tokens and token_id in self._special else self(token_id)[0]

    def _look_up(self, token_id: int) -> tuple[str, list[int]]:
        text = self._tokenizer.decode([token_id])
        if token_id in self._special:
            return text, list(text.encode())
        spelled = self._tokenizer.convert_ids_to_tokens([token_id])[0] or ""
        lone = LONE_BYTE.fullmatch(spelled)
        if lone:
            return text, [int(lone[1], 16)]
        if self._alphabet is not None and spelled and all(char in self._alphabet for char in spelled):
            return text, [self._alphabet[char] for char in spelled]
        return text, list(text.encode())
