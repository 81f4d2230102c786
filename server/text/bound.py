"""How much text one token can stand for: a longer text than that times the context cannot fit, without reading it.

The bound is exact or None. It exists for byte-pair vocabularies that spell every byte, so that no text is unknown, and
whose other parts lose nothing: a tokenizer that drops or merges spaces turns any number of them into one token, and one
that writes a whole unknown word as one token has no bound either.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from mavis_core.api.tokenizer import Tokenizer
from mavis_core.text.token_bytes import byte_alphabet

COMPOSED = 4  # characters that Unicode's composition makes one of, at most (U+1F82 and its like)
LOSSLESS_SPLITS = frozenset({"ByteLevel", "Digits", "Metaspace"})


def characters_per_token(tokenizer: Tokenizer) -> int | None:
    """The most characters of text that one token stands for, or None where that has no known bound."""
    backend = tokenizer.backend_tokenizer
    if not hasattr(backend, "get_vocab"):
        return None
    shrinking = _shrinking(_described(backend.normalizer))
    if shrinking is None or not _keeps_all(_described(backend.pre_tokenizer)):
        return None
    if any(token.lstrip or token.rstrip for token in backend.get_added_tokens_decoder().values()):
        return None  # such a token takes any number of spaces beside it along
    vocabulary = backend.get_vocab(with_added_tokens=True)
    if type(backend.model).__name__ != "BPE" or not _spells_bytes(backend, vocabulary):
        return None
    return shrinking * max(map(len, vocabulary))


def _described(part: Any) -> dict[str, Any]:
    """A component as its JSON; ``{}`` for none."""
    described: dict[str, Any] = {} if part is None else orjson.loads(part.__getstate__())
    return described


def _shrinking(normalizer: dict[str, Any]) -> int | None:
    """The most characters that a normalizer turns into one; None if it may drop any."""
    kind = normalizer.get("type")
    if kind in (None, "NFD", "NFKD", "ByteLevel", "Prepend", "Lowercase"):
        return 1
    if kind in ("NFC", "NFKC"):
        return COMPOSED
    if kind == "Replace":
        sought = normalizer["pattern"].get("String")
        return 1 if sought is not None and len(normalizer["content"]) >= len(sought) else None
    if kind == "Sequence":
        each = [_shrinking(one) for one in normalizer["normalizers"]]
        return None if None in each else math.prod(factor or 1 for factor in each)
    return None


def _keeps_all(splitter: dict[str, Any]) -> bool:
    kind = splitter.get("type")
    if kind == "Sequence":
        return all(_keeps_all(one) for one in splitter["pretokenizers"])
    if "behavior" in splitter:
        return str(splitter["behavior"]) != "Removed"
    return kind is None or kind in LOSSLESS_SPLITS


def _spells_bytes(backend: Any, vocabulary: dict[str, int]) -> bool:
    """Whether every byte of any text is a token, so that nothing is unknown."""
    if backend.model.byte_fallback:
        return all(f"<0x{byte:02X}>" in vocabulary for byte in range(256))
    parts = f"{_described(backend.normalizer)} {_described(backend.pre_tokenizer)}"
    return "ByteLevel" in parts and all(symbol in vocabulary for symbol in byte_alphabet())
