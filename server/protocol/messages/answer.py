"""The answers of ``/v1/messages`` (Anthropic's "Message" object), which the document at ``/openapi.json`` shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from server.protocol.answers import ChoiceGuidance
from server.protocol.fields import Strict

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class SaidText(Strict):
    type: Literal["text"]
    text: str
    citations: None


class Thought(Strict):
    type: Literal["thinking"]
    thinking: str
    signature: Literal[""]


class UsedTool(Strict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class MessageUsage(Strict):
    """``input_tokens`` and what was read from the cache add up to the prompt."""

    input_tokens: int
    cache_creation_input_tokens: Literal[0]
    cache_read_input_tokens: int
    output_tokens: int


class Message(Strict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Annotated[SaidText | Thought | UsedTool, Field(discriminator="type")]]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage
    guidance: ChoiceGuidance | None = None


class TokensCount(Strict):
    input_tokens: int


class MessagesErrorObject(Strict):
    type: str
    message: str


class MessagesError(Strict):
    type: Literal["error"]
    error: MessagesErrorObject
    request_id: str
