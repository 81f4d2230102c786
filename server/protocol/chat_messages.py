"""The messages of a conversation (OpenAI's "Create chat completion" page).

A conversation can always go on: whatever an answer of ours or a client's accumulated message has is taken back. Images
and audio are refused, and so are the older function calls, which nothing here answers with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from mavis_core.api.errors import InvalidRequestError
from server.protocol.fields import NoEffect, Refused, Tolerant
from server.protocol.parts import Content, text_of
from server.protocol.tools import MAX_TOOLS, EchoedCall


class ChatMessage(Tolerant):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = Field(default=None, description="null is no text.")
    name: str | None = Field(default=None, description="Handed to the chat template.")
    tool_calls: Annotated[list[EchoedCall], Field(fail_fast=True, max_length=MAX_TOOLS)] | None = None
    tool_call_id: str | None = Field(default=None, description="Of a tool's message.")
    refusal: str | None = Field(default=None, description="What an assistant's message says that has no content.")
    reasoning: Any = Field(default=None, description="What the assistant thought; reaches chat templates that show it.")
    reasoning_content: Any = Field(default=None, description="The same, under its older name.")
    annotations: NoEffect = None
    cache_control: NoEffect = None
    audio: Refused = None
    function_call: Refused = None

    @property
    def text(self) -> str:
        return (self.refusal or "") if self.content is None else text_of(self.content)

    @property
    def thought(self) -> str:
        """The assistant's reasoning, where it is text."""
        told = (text for text in (self.reasoning, self.reasoning_content) if isinstance(text, str) and text)
        return next(told, "") if self.role == "assistant" else ""


Messages = Annotated[list[ChatMessage], Field(fail_fast=True, min_length=1, max_length=4096)]


def conversation(messages: Sequence[ChatMessage], field: str) -> list[dict[str, Any]]:
    """The messages as chat templates expect them; arguments of calls as objects, not as text.

    Raises:
        InvalidRequestError: naming the message under ``field``.
    """
    return [_entry(message, f"{field}[{i}]") for i, message in enumerate(messages)]


def has_unread_arguments(messages: Sequence[ChatMessage]) -> bool:
    """Whether a call's arguments are no JSON object; the model sees it without any."""
    return any(arguments_of(call) is None for message in messages for call in message.tool_calls or ())


def _entry(message: ChatMessage, at: str) -> dict[str, Any]:
    if message.tool_calls and message.role != "assistant":
        raise InvalidRequestError(f"{at}.tool_calls: only allowed where role is 'assistant'", f"{at}.tool_calls")
    entry: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.name is not None:
        entry["name"] = message.name
    if message.thought:
        entry |= {"reasoning": message.thought, "reasoning_content": message.thought}
    if message.role == "tool" and message.tool_call_id is not None:
        entry["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        entry["tool_calls"] = [
            ({} if call.id is None else {"id": call.id})
            | {"type": "function", "function": {"name": call.function.name, "arguments": arguments_of(call) or {}}}
            for call in message.tool_calls
        ]
    return entry


def arguments_of(call: EchoedCall) -> dict[str, Any] | None:
    """None where they are no JSON object, like those of a call that was cut: templates know only objects."""
    given = call.function.arguments
    if not isinstance(given, str):
        return given or {}
    try:
        arguments = orjson.loads(given.strip() or "{}")
    except orjson.JSONDecodeError:
        return None
    return arguments if isinstance(arguments, dict) else None
