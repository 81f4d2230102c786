"""The blocks of a turn's content (Anthropic's "Create a Message" page).

Text, calls of tools and their results are read, and thoughts, where the chat template shows them. What another model's
maker had encrypted or its own tools had found in earlier turns is left out and named. Anything else, images and
documents, is refused: the model reads text only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from server.protocol.fields import NoEffect, Skipped, Tolerant

TEXT, CALL, RESULT, SYSTEM, THOUGHT, OTHER = "text", "tool_use", "tool_result", "mid_conv_system", "thinking", "other"
READ = frozenset({TEXT, CALL, RESULT, SYSTEM, THOUGHT})
LEFT_OUT = frozenset({"redacted_thinking", "server_tool_use", "mcp_tool_use", "tool_reference", "fallback"})
FOUND = "_tool_result"  # how the types of what the maker's own tools found end


class TextBlock(Tolerant):
    type: Literal["text"] = "text"
    text: str
    cache_control: NoEffect = None
    citations: NoEffect = None


class ToolUseBlock(Tolerant):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any] | None = None
    cache_control: NoEffect = None
    caller: NoEffect = None


def _kind(block: Any) -> str | None:
    kind = block.get("type", TEXT) if isinstance(block, Mapping) else getattr(block, "type", None)
    if not isinstance(kind, str):
        return None
    if kind in READ:
        return kind
    return OTHER if kind in LEFT_OUT or kind.endswith(FOUND) else None


TEXT_ONLY = Discriminator(_kind, custom_error_type="text_only", custom_error_message="text")
ResultBlock: TypeAlias = Annotated[Annotated[TextBlock, Tag(TEXT)] | Annotated[Skipped, Tag(OTHER)], TEXT_ONLY]


class ToolResultBlock(Tolerant):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | Annotated[list[ResultBlock], Field(fail_fast=True)] | None = Field(
        default=None, description="null is no text."
    )
    is_error: bool | None = Field(default=None, description='true: the model reads "Error: " before the content.')
    cache_control: NoEffect = None

    @property
    def text(self) -> str:
        said = "Error: " if self.is_error else ""
        return said + (self.content if isinstance(self.content, str) else text_of(self.content or []))


class ThinkingBlock(Tolerant):
    type: Literal["thinking"]
    thinking: str | None = Field(default=None, description="Reaches chat templates that show it.")
    signature: NoEffect = None
    cache_control: NoEffect = None


class SystemBlock(Tolerant):
    """What a turn says in the system's place; it is read as the user's."""

    type: Literal["mid_conv_system"]
    content: Annotated[list[TextBlock], Field(fail_fast=True)]
    cache_control: NoEffect = None


Block: TypeAlias = Annotated[
    Annotated[TextBlock, Tag(TEXT)]
    | Annotated[ToolUseBlock, Tag(CALL)]
    | Annotated[ToolResultBlock, Tag(RESULT)]
    | Annotated[SystemBlock, Tag(SYSTEM)]
    | Annotated[ThinkingBlock, Tag(THOUGHT)]
    | Annotated[Skipped, Tag(OTHER)],
    TEXT_ONLY,
]
Blocks: TypeAlias = Annotated[list[Block], Field(fail_fast=True)]


def text_of(blocks: list[Any]) -> str:
    """The text of the text blocks among ``blocks``; joined by newlines, as the parts of OpenAI's messages are."""
    return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))
