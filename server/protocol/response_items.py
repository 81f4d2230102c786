"""The items of ``input`` (OpenAI's "Create a model response" page), and the conversation that they make.

What is said and thought and what functions were called and answered is read. What other servers' answers have beside
it, encrypted reasoning and calls of tools that are not here with their results, is left out and named. What stands for
a part of the conversation that only its own server has, a reference or a compaction, is refused: without it the answer
would be to another conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from mavis_core.api.errors import InvalidRequestError
from server.protocol.chat_messages import ChatMessage
from server.protocol.fields import NoEffect, Skipped, Tolerant
from server.protocol.parts import Content
from server.protocol.tools import EchoedCall, EchoedFunction

REASONING = "rs_"  # how ids of reasoning items begin
ELSEWHERE = {
    "item_reference": "nothing is stored here; send the item itself (clients do with store false)",
    "compaction": "only the server that wrote it can read it; send the conversation itself",
    "compaction_summary": "only the server that wrote it can read it; send the conversation itself",
}


class MessageItem(Tolerant):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content | None = Field(default=None, description="null is no text.")
    id: NoEffect = None
    status: NoEffect = None
    phase: NoEffect = None


class FunctionCallItem(Tolerant):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str | dict[str, Any] | None = Field(
        default=None, description="Text that is no JSON object counts as {}."
    )
    id: NoEffect = None
    status: NoEffect = None


class CustomCallItem(Tolerant):
    """A call of a tool that takes text; the model is shown it as one whose only argument is ``input``."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str | None = None
    id: NoEffect = None
    status: NoEffect = None


class CallOutputItem(Tolerant):
    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: str
    output: Content | None = None
    id: NoEffect = None
    status: NoEffect = None


class ReasoningPart(Tolerant):
    type: str | None = None
    text: str


class ReasoningItem(Tolerant):
    """Thoughts as text, our own answers' among them; the next message or call of the assistant has them."""

    type: Literal["reasoning"]
    content: Annotated[list[ReasoningPart], Field(fail_fast=True, min_length=1)]
    summary: NoEffect = None
    encrypted_content: NoEffect = None
    id: NoEffect = None
    status: NoEffect = None


class ElsewhereItem(Tolerant):
    """What only another server has; refused with the reason."""

    type: Literal["item_reference", "compaction", "compaction_summary"]


MESSAGE, CALL, CUSTOM, OUTPUT, AWAY, OTHER = "message", "function call", "custom call", "output", "elsewhere", "other"
THOUGHT = "thought"
KINDS = {
    "message": MESSAGE, "function_call": CALL, "custom_tool_call": CUSTOM,
    "function_call_output": OUTPUT, "custom_tool_call_output": OUTPUT, **dict.fromkeys(ELSEWHERE, AWAY),
}  # fmt: skip


def _kind(item: Any) -> str:
    read = item if isinstance(item, Mapping) else getattr(item, "__dict__", {})
    kind, id = read.get("type"), read.get("id")
    if kind is None:
        return MESSAGE
    if kind == "item_reference" and isinstance(id, str) and id.startswith(REASONING):
        return OTHER
    if kind == "reasoning" and read.get("content"):
        return THOUGHT
    return KINDS.get(kind, OTHER) if isinstance(kind, str) else OTHER


Item: TypeAlias = Annotated[
    Annotated[MessageItem, Tag(MESSAGE)]
    | Annotated[FunctionCallItem, Tag(CALL)]
    | Annotated[CustomCallItem, Tag(CUSTOM)]
    | Annotated[CallOutputItem, Tag(OUTPUT)]
    | Annotated[ReasoningItem, Tag(THOUGHT)]
    | Annotated[ElsewhereItem, Tag(AWAY)]
    | Annotated[Skipped, Tag(OTHER)],
    Discriminator(_kind),
]


def messages_of(items: Sequence[Any]) -> Iterator[ChatMessage]:
    """The items as chat messages; calls join the assistant's message before them, and both its thoughts.

    Raises:
        InvalidRequestError: naming the item that cannot be read here.
    """
    last: ChatMessage | None = None  # held back: there may be calls that join it
    for calls, run in groupby(_readable(items), lambda item: isinstance(item, FunctionCallItem | CustomCallItem)):
        if calls:
            joined = last if last is not None and last.role == "assistant" else ChatMessage(role="assistant")
            if last is not None and joined is not last:
                yield last
            last = joined.model_copy(update={"tool_calls": [_call(item) for item in run]})
            continue
        for item in run:
            made = _message(item)
            if last is not None and made.role == "assistant" and _only_thinks(last):
                last = made.model_copy(update={"reasoning": last.reasoning})
                continue
            if last is not None:
                yield last
            last = made
    if last is not None:
        yield last


def _readable(items: Sequence[Any]) -> Iterator[Any]:
    for i, item in enumerate(items):
        if isinstance(item, ElsewhereItem):
            raise InvalidRequestError(f"input[{i}].type={item.type!r}: {ELSEWHERE[item.type]}", f"input[{i}]")
        if not isinstance(item, Skipped):
            yield item


def _only_thinks(message: ChatMessage) -> bool:
    return bool(message.reasoning) and message.content is None and not message.tool_calls


def _message(item: MessageItem | ReasoningItem | CallOutputItem) -> ChatMessage:
    if isinstance(item, ReasoningItem):
        return ChatMessage(role="assistant", reasoning="\n".join(part.text for part in item.content))
    if isinstance(item, MessageItem):
        return ChatMessage(role=item.role, content=item.content)
    return ChatMessage(role="tool", content=item.output, tool_call_id=item.call_id)


def _call(item: FunctionCallItem | CustomCallItem) -> EchoedCall:
    arguments = {"input": item.input or ""} if isinstance(item, CustomCallItem) else item.arguments
    return EchoedCall(id=item.call_id, function=EchoedFunction(name=item.name, arguments=arguments))
