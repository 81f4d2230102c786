"""The messages of a conversation (OpenAI's "Create chat completion" page).

Audio, images and the older function calls are refused by name. Fields that an assistant message of ours carries
(``refusal: null`` and so on) are taken back as they are: clients echo our messages in the next turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from mavis_core.api.errors import InvalidRequestError
from server.protocol.fields import EmptyList, Refused, Strict
from server.protocol.tools import MAX_TOOLS, ToolCall


class TextPart(Strict):
    type: Literal["text"]
    text: str


class ChatMessage(Strict):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True)] | None = Field(
        default=None, description="Required but for an assistant's message with tool_calls."
    )
    name: str | None = Field(default=None, description="Handed to the chat template.")
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True, max_length=MAX_TOOLS)] | None = None
    tool_call_id: str | None = Field(default=None, description="Required in a tool's message.")
    refusal: Refused = None
    annotations: EmptyList | None = None
    audio: Refused = None
    function_call: Refused = None

    @property
    def text(self) -> str:
        """Text parts are joined by newlines, as in vLLM."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content)


Messages = Annotated[list[ChatMessage], Field(fail_fast=True, min_length=1, max_length=4096)]


def conversation(messages: Sequence[ChatMessage], field: str) -> list[dict[str, Any]]:
    """The messages as chat templates expect them; arguments of calls as objects, not as text.

    Raises:
        InvalidRequestError: naming the message under ``field``.
    """
    return [_entry(message, f"{field}[{i}]") for i, message in enumerate(messages)]


def _entry(message: ChatMessage, at: str) -> dict[str, Any]:
    _check(message, at)
    entry: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.name is not None:
        entry["name"] = message.name
    if message.role == "tool":
        entry["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        entry["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": _arguments(call, f"{at}.tool_calls[{i}]")},
            }
            for i, call in enumerate(message.tool_calls)
        ]
    return entry


def _check(message: ChatMessage, at: str) -> None:
    """What the roles differ in and a schema of one message does not say."""
    if message.content is None and not message.tool_calls:
        given = "content" in message.model_fields_set
        problem = "=None: must be string or list" if given else " is required"
        raise InvalidRequestError(f"{at}.content{problem}", f"{at}.content")
    if message.tool_calls and message.role != "assistant":
        raise InvalidRequestError(f"{at}.tool_calls: only allowed where role is 'assistant'", f"{at}.tool_calls")
    if (message.tool_call_id is None) == (message.role == "tool"):
        problem = " is required" if message.role == "tool" else ": only allowed where role is 'tool'"
        raise InvalidRequestError(f"{at}.tool_call_id{problem}", f"{at}.tool_call_id")


def _arguments(call: ToolCall, at: str) -> dict[str, Any]:
    """Those of a call that was cut, which clients echo like any other, are none: templates know only objects."""
    text = call.function.arguments.strip() or "{}"
    try:
        arguments = orjson.loads(text)
    except orjson.JSONDecodeError:
        arguments = {} if text.startswith("{") else None
    if not isinstance(arguments, dict):
        param = f"{at}.function.arguments"
        raise InvalidRequestError(f"{param}={call.function.arguments[:80]!r}: must be a JSON object", param)
    return arguments
