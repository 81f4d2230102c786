"""Where in a conversation an instruction goes, found out once by trying the chat template.

Into the system message: at the end of the one that is there, else in one of its own. Some templates write a system
message of theirs where a conversation has none; the instruction then goes behind that, so that it is the only
difference between the two conversations. Templates without a system role (Gemma) get it in front of the first user's
words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mavis_core.api.errors import InvalidRequestError
from server.protocol.messages import ChatMessage

Render = Callable[[list[dict[str, Any]]], str]
TOLD, SAID = "mavis-instruction-7", "mavis-question-7"  # what nobody's template has in it


@dataclass(frozen=True, slots=True)
class Place:
    """
    Attributes:
        role: of the message that takes instructions.
        default: the system text of a template that has one of its own.
    """

    role: Literal["system", "user"]
    default: str = ""

    @property
    def described(self) -> str:
        """For people."""
        if self.role == "user":
            return "in front of the first user message: the chat template has no system role"
        return "in the system message" + (", behind the chat template's own text" if self.default else "")


def find_place(render: Render) -> Place | None:
    """None where the chat template takes no instruction, or there is no template.

    Args:
        render: a conversation as text; raises InvalidRequestError where the template refuses it.
    """
    user = {"role": "user", "content": SAID}
    plain, told = _tried(render, [user]), _tried(render, [{"role": "system", "content": TOLD}, user])
    if TOLD in told:
        return Place("system", _default(plain, told))
    joined = _tried(render, [user | {"content": f"{TOLD}\n\n{SAID}"}])
    return Place("user") if TOLD in joined else None


def _tried(render: Render, entries: list[dict[str, Any]]) -> str:
    try:
        return render(entries)
    except InvalidRequestError:
        return ""


def _default(plain: str, told: str) -> str:
    """What stands in ``plain`` where ``told`` has the instruction; "" where the two differ in more."""
    before, _, after = told.partition(TOLD)
    if plain.startswith(before) and plain.endswith(after) and len(plain) > len(before) + len(after):
        return plain[len(before) : len(plain) - len(after)].strip()
    return ""


def instructed(messages: Sequence[ChatMessage], instruction: str, place: Place) -> Sequence[ChatMessage]:
    """The conversation with ``instruction`` in it; itself where that says nothing."""
    told = instruction.strip()
    if not told:
        return messages
    roles = ("system", "developer") if place.role == "system" else ("user",)
    at = next((i for i, message in enumerate(messages) if message.role in roles), None)
    if at is None or (place.role == "system" and at > 0):  # only a first message is surely one for templates
        content = f"{place.default}\n\n{told}" if place.default else told
        return [ChatMessage(role=place.role, content=content), *messages]
    text = messages[at].text
    parts = (text, told) if place.role == "system" else (told, text)
    joined = messages[at].model_copy(update={"content": "\n\n".join(part for part in parts if part.strip())})
    return [*messages[:at], joined, *messages[at + 1 :]]
