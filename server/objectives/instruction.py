"""A conversation with an instruction in it, where ``mavis_core/text/instruction.py`` says that it goes; or a text."""

from __future__ import annotations

from collections.abc import Sequence

from mavis_core.text.instruction import Place as Place
from mavis_core.text.instruction import find_place as find_place
from server.protocol.chat_messages import ChatMessage


def in_front(instruction: str) -> str:
    """What stands in front of a text that is no conversation; nothing where the instruction says nothing."""
    told = instruction.strip()
    return f"{told}\n\n" if told else ""


def instructed(messages: Sequence[ChatMessage], instruction: str, place: Place) -> Sequence[ChatMessage]:
    """The conversation with ``instruction`` in it; itself where that says nothing."""
    told = instruction.strip()
    if not told:
        return messages
    at = place.at([message.role for message in messages])
    if at is None:
        return [ChatMessage(role=place.role, content=place.own(told)), *messages]
    joined = messages[at].model_copy(update={"content": place.joined(messages[at].text, told)})
    return [*messages[:at], joined, *messages[at + 1 :]]
