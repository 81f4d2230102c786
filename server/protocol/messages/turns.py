"""Anthropic's turns as the chat messages that templates are written for.

Neighbours of one role are one turn, as Anthropic has it, and many templates know nothing else. The system's words come
first; what it says later, in the middle of a conversation, where most templates have no place for it, is read as part
of the user's turn. A result of a tool is a message of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from mavis_core.api.errors import InvalidRequestError
from server.protocol.chat_messages import ChatMessage
from server.protocol.fields import Tolerant
from server.protocol.messages.blocks import (
    Blocks,
    SystemBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    text_of,
)
from server.protocol.tools import EchoedCall, EchoedFunction

Role: TypeAlias = Literal["user", "assistant", "tool"]
# A role, and its text, an assistant's EchoedCall or ThinkingBlock, or a tool's ChatMessage.
Piece: TypeAlias = tuple[Role, Any]
System: TypeAlias = str | Annotated[list[TextBlock], Field(fail_fast=True)]


class Turn(Tolerant):
    role: Literal["user", "assistant", "system"]
    content: str | Blocks


Turns: TypeAlias = Annotated[list[Turn], Field(fail_fast=True, min_length=1, max_length=4096)]
# Claude Code's, at the very beginning and another in every request: no prefix of a prompt would ever be found again.
BILLING = "x-anthropic-billing-header:"


def chat_messages(system: System | None, turns: Sequence[Turn]) -> list[ChatMessage]:
    """The whole conversation; raises InvalidRequestError: a block is another role's, or there is nothing to read."""
    first = next((i for i, turn in enumerate(turns) if turn.role != "system"), len(turns))
    said = [system if isinstance(system, str) else text_of(without_billing(system))] if system else []
    said += [text for i, turn in enumerate(turns[:first]) for _, text in _pieces(turn, i)]
    made = [ChatMessage(role="system", content="\n".join(said))] if any(said) else []
    pieces = (piece for i, turn in enumerate(turns[first:], first) for piece in _pieces(turn, i))
    for role, run in groupby(pieces, lambda piece: piece[0]):
        contents = [content for _, content in run]
        made += contents if role == "tool" else [_joined(role, contents)]
    if not made:
        raise InvalidRequestError("messages: none of them has anything that the model could read", "messages")
    return made


def without_billing(system: Sequence[TextBlock]) -> list[TextBlock]:
    """The system's words without the one block that is none."""
    return [block for block in system if not block.text.startswith(BILLING)]


def goes_on(messages: Sequence[ChatMessage]) -> bool:
    """Whether the answer is to continue the assistant's last words."""
    return messages[-1].role == "assistant" and not messages[-1].tool_calls and bool(messages[-1].text)


def _joined(role: Role, contents: Sequence[Any]) -> ChatMessage:
    calls = [content for content in contents if isinstance(content, EchoedCall)]
    text = "\n".join(content for content in contents if isinstance(content, str))
    thought = "\n".join(content.thinking or "" for content in contents if isinstance(content, ThinkingBlock))
    made = ChatMessage(role=role, content=text, reasoning=thought or None)
    return made.model_copy(update={"tool_calls": calls or None})


def _pieces(turn: Turn, number: int) -> Iterator[Piece]:
    role: Role = "user" if turn.role == "system" else turn.role
    if isinstance(turn.content, str):
        yield role, turn.content
        return
    for i, block in enumerate(turn.content):
        at = f"messages[{number}].content[{i}]"
        match block:
            case TextBlock():
                yield role, block.text
            case ThinkingBlock():
                _of(turn, "assistant", at, block.type)
                yield role, block
            case SystemBlock():
                yield "user", text_of(block.content)
            case ToolUseBlock():
                _of(turn, "assistant", at, block.type)
                function = EchoedFunction(name=block.name, arguments=block.input)
                yield role, EchoedCall(id=block.id, function=function)
            case ToolResultBlock():
                _of(turn, "user", at, block.type)
                yield "tool", ChatMessage(role="tool", content=block.text, tool_call_id=block.tool_use_id)


def _of(turn: Turn, role: str, at: str, kind: str) -> None:
    if turn.role != role:
        raise InvalidRequestError(f"{at}.type={kind!r}: only allowed where role is {role!r}", at)
