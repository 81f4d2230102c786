"""Which tokens end an answer of a model that came as a GGUF file.

Folders say so in generation_config.json, which may name several. A GGUF file has a key for each kind of end, and
transformers reads one of them, the end of a text. Chat models end a turn with another token, and whoever made the file
may have left that key out: then the chat template shows it, as what it writes behind an answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mavis_core.model.gguf_header import numbers

# The end of a text, of a turn, of a call.
KEYS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
QUESTION, ANSWER = "mavis-question-7", "mavis-answer-7"  # what nobody's template has in it


def answer_ends(file: Path, tokenizer: Any, vocab_size: int) -> list[int]:
    """Ids below ``vocab_size`` that end an answer, each once, the file's own first."""
    keyed = numbers(file, KEYS)
    named = [int(keyed[key]) for key in KEYS if key in keyed]
    found = dict.fromkeys([*named, *end_of_turn(tokenizer)])
    return [token for token in found if 0 <= token < vocab_size]


def end_of_turn(tokenizer: Any) -> list[int]:
    """The control token that the chat template writes behind an answer, if it does."""
    if not tokenizer.chat_template:
        return []
    said = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    try:
        text: str = tokenizer.apply_chat_template(said, tokenize=False)
    except Exception:  # a template may raise anything; whoever chats is told
        return []
    behind = text.rpartition(ANSWER)[2].lstrip()
    first = tokenizer.encode(behind, add_special_tokens=False)[:1]
    return [token for token in first if token in tokenizer.added_tokens_decoder]
