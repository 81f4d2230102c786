"""Every form of calls, with a vocabulary that has the markers as tokens, and texts that a grammar lets through."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from server.tools.formats.format import Special, ToolFormat
from server.tools.formats.known import KNOWN
from server.tools.grammar import lark
from server.tools.held import held
from server.tools.parts import AnswerPart, AnswerText, Reader, ReasoningText, ToolCallBegin
from server.tools.use import Function, ToolUse
from tests.vocabularies import byte_tokenizer

FORMS = {f"{form.name}{i}": form for i, form in enumerate(KNOWN)}
SPECIALS = ["[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "<|tool_call|>", "[THINK]", "[/THINK]"]
TAGS = ["<tool_call>", "</tool_call>", "<think>", "</think>"]  # tokens but not special, as in Qwen's vocabularies
EOS = 256
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 6},
        "days": {"type": "integer", "minimum": -9, "maximum": 99},
        "rain": {"type": "boolean"},
        "near": {"type": "array", "items": {"$ref": "#/$defs/place"}, "maxItems": 2},
        "unit": {"anyOf": [{"const": "C"}, {"type": "null"}]},
    },
    "required": ["days"],
    "$defs": {"place": {"type": "object", "properties": {"km": {"type": "integer", "minimum": 0, "maximum": 9},
                                                         "ok": {"type": ["boolean", "null"]}}}},
}  # fmt: skip
ODD: dict[str, Any] = {"type": "object", "properties": {"a-b": {"type": "string", "maxLength": 4}}, "required": ["a-b"]}
FUNCTIONS = (Function("weather.now", "Of a city.", CITY), Function("now"), Function("od-d", None, ODD))
SCHEMAS = [held(function.schema, False, "x")[0] for function in FUNCTIONS]


@cache
def vocabulary() -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in SPECIALS])
    tokenizer.add_tokens([AddedToken(mark, special=False) for mark in TAGS])
    return tokenizer


def special_of(form: ToolFormat, tokens: bool) -> Special:
    """The markers that are tokens to the grammar, where the vocabulary has them as such."""
    backend = vocabulary().backend_tokenizer if tokens else byte_tokenizer().backend_tokenizer
    known = {token.content: i for i, token in backend.get_added_tokens_decoder().items()}
    return {mark: known[mark] for mark in form.markers if mark in known}


@cache
def _llg(tokens: bool) -> Any:
    import llguidance

    tokenizer = vocabulary() if tokens else byte_tokenizer()
    return llguidance.LLTokenizer(tokenizer.backend_tokenizer.to_str(), n_vocab=len(tokenizer), eos_token=[EOS])


def matcher(form: ToolFormat, tools: ToolUse, tokens: bool, answer: str | None = None) -> Any:
    import llguidance

    schemas = [SCHEMAS[FUNCTIONS.index(function)] for function in tools.allowed]
    made = llguidance.LLMatcher(_llg(tokens), lark(tools, schemas, answer, form, special_of(form, tokens)), log_level=0)
    assert not made.get_error()
    return made


def accepts(form: ToolFormat, tools: ToolUse, text: str, tokens: bool, answer: str | None = None) -> bool:
    """Whether the model may write ``text``, its markers as the tokens that they are."""
    tokenizer = vocabulary() if tokens else byte_tokenizer()
    ids = tokenizer.encode(text, add_special_tokens=False)
    made = matcher(form, tools, tokens, answer)
    return bool(made.try_consume_tokens(ids) == len(ids) and made.is_accepting())


def drawn(form: ToolFormat, tools: ToolUse, tokens: bool, seed: int) -> str:
    """A random text that the grammar lets through; it prefers what ends things."""
    tokenizer = vocabulary() if tokens else byte_tokenizer()
    made, chance, ids = matcher(form, tools, tokens), random.Random(seed), []
    while not made.is_stopped() and not (made.is_accepting() and chance.random() < 0.4):
        bits = made.compute_bitmask()
        allowed = [i for i in range(len(tokenizer)) if bits[i >> 3] >> (i & 7) & 1 and (31 < i < 127 or i > EOS)]
        ending = [i for i in allowed if chr(i) in '"})],']
        ids.append(chance.choice(ending if ending and chance.random() < 0.4 else allowed or [10]))
        made.consume_token(ids[-1])
        assert len(ids) < 3000
    text: str = tokenizer.decode(ids, skip_special_tokens=False)
    return text


def read(reader: Reader, pieces: list[str]) -> list[AnswerPart]:
    return [part for i, piece in enumerate(pieces) for part in reader.read(piece, last=i == len(pieces) - 1)]


def joined(parts: list[AnswerPart]) -> list[Any]:
    """Text as it is, reasoning in a list, calls as name and arguments; pieces put together."""
    found: list[Any] = []
    for part in parts:
        match part:
            case ToolCallBegin(index, _, name):
                assert index == sum(isinstance(one, tuple) for one in found)
                found.append((name, ""))
            case ReasoningText(text):
                found[-1:] = [[found[-1][0] + text]] if found and isinstance(found[-1], list) else [*found[-1:], [text]]
            case AnswerText(text):
                found[-1:] = [found[-1] + text] if found and isinstance(found[-1], str) else [*found[-1:], text]
            case _:
                name, arguments = found.pop()
                found.append((name, arguments + part.text))
    return found


def cut(text: str, chance: random.Random) -> list[str]:
    """``text`` in pieces of random lengths."""
    pieces = []
    while text:
        length = chance.choice([1, 1, 2, 3, 5, 9])
        pieces.append(text[:length])
        text = text[length:]
    return pieces or [""]
