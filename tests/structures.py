"""A tiny model whose tokens are bytes, for tests of structures: every text is one sequence of tokens."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import torch

from mavis_core.api.structure import Structure
from mavis_core.grammar.compiler import GrammarCompiler
from mavis_core.grammar.matcher import Matcher
from mavis_core.model.policy import Policy
from tests.models import ARCHITECTURES, byte_tokenizer, tiny_config

# A few more logits than the tokenizer has tokens, as padded vocabularies have.
BYTE_VOCAB, BYTE_EOS = 263, 256

# One derivative of an intersection costs exponentially much in its parts, within which the library's limits are not
# looked at: at the start of the first answer, in the middle of the second one.
EXPLODES = json.dumps({"type": "string", "allOf": [{"pattern": f".*a{i}.*"} for i in range(22)]})
LATER = {"type": "string", "allOf": [{"pattern": f"^(x|q.*a{i}.*)$"} for i in range(26)]}
EXPLODES_LATER = json.dumps(
    {
        "type": "object",
        "properties": {"a": {"enum": [1, 2]}, "b": LATER},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
)


def byte_model(seed: int) -> Any:
    torch.manual_seed(seed)
    config: Any = tiny_config("llama")
    config.vocab_size, config.eos_token_id = BYTE_VOCAB, BYTE_EOS
    return ARCHITECTURES["llama"][1](config).eval()


@cache
def byte_policy() -> Policy:
    return Policy(byte_model(3), byte_tokenizer(), "tiny-bytes")


@cache
def byte_compiler() -> GrammarCompiler:
    return GrammarCompiler(byte_tokenizer(), BYTE_VOCAB, (BYTE_EOS,))


def matcher(kind: Any, source: str) -> Matcher:
    return byte_compiler().compile(Structure(kind, source))


def tokens_of(bits: bytearray) -> set[int]:
    return {8 * i + bit for i, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1}


def accepts(kind: Any, source: str, text: str) -> bool:
    """Whether ``text`` is a whole answer."""
    found = matcher(kind, source)
    for byte in text.encode():
        if found.exhausted or not found.accepts(byte):
            return False
        found.advance(byte)
    return found.complete
