"""The parts of a message's content, on every endpoint that has messages.

Text in all its spellings is text. A refusal is what the assistant said. Thoughts of an earlier turn are taken back and
not shown to the model again. Whatever else there may be, images, audio, files, is refused: the model reads text only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from server.protocol.fields import NoEffect, Tolerant

TEXT, REFUSAL, THOUGHT, PLAIN = "a text part", "a refusal", "a thought", "plain text"
KINDS = {
    "text": TEXT, "input_text": TEXT, "output_text": TEXT, "refusal": REFUSAL, "thinking": THOUGHT,
    "redacted_thinking": THOUGHT, "reasoning": THOUGHT, "reasoning_text": THOUGHT,
}  # fmt: skip


class TextPart(Tolerant):
    type: Literal["text", "input_text", "output_text"] = "text"
    text: str
    annotations: NoEffect = None
    logprobs: NoEffect = None
    cache_control: NoEffect = None


class RefusalPart(Tolerant):
    type: Literal["refusal"]
    refusal: str


class ThoughtPart(Tolerant):
    type: Literal["thinking", "redacted_thinking", "reasoning", "reasoning_text"]


def _kind(part: Any) -> str | None:
    if isinstance(part, str):
        return PLAIN
    kind = part.get("type", "text") if isinstance(part, Mapping) else getattr(part, "type", None)
    return KINDS.get(kind) if isinstance(kind, str) else None


Part: TypeAlias = Annotated[
    Annotated[str, Tag(PLAIN)]
    | Annotated[TextPart, Tag(TEXT)]
    | Annotated[RefusalPart, Tag(REFUSAL)]
    | Annotated[ThoughtPart, Tag(THOUGHT)],
    Discriminator(_kind, custom_error_type="text_only", custom_error_message="text"),
]
Parts: TypeAlias = Annotated[list[Part], Field(fail_fast=True)]
Content: TypeAlias = str | Parts


def text_of(content: Content | None) -> str:
    """Parts are joined by newlines, as in vLLM."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_texts(content))


def _texts(parts: Sequence[str | TextPart | RefusalPart | ThoughtPart]) -> list[str]:
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, RefusalPart):
            texts.append(part.refusal)
    return texts
