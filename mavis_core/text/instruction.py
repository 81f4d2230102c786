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

    def at(self, roles: Sequence[str]) -> int | None:
        """The message that takes it, by the roles of all; None where it needs one of its own, in front."""
        wanted = ("system", "developer") if self.role == "system" else ("user",)
        found = next((i for i, role in enumerate(roles) if role in wanted), None)
        return None if self.role == "system" and found else found  # only a first message is surely one for templates

    def own(self, instruction: str) -> str:
        """What a message of its own says."""
        return f"{self.default}\n\n{instruction}" if self.default else instruction

    def joined(self, text: str, instruction: str) -> str:
        """What the message that takes it, and said ``text``, then says."""
        parts = (text, instruction) if self.role == "system" else (instruction, text)
        return "\n\n".join(part for part in parts if part.strip())


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
