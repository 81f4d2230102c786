"""What an answer's text is made of, and the interface of whatever takes it apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AnswerText:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningText:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallBegin:
    """A call begins; ``index`` counts the calls of this answer."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """More of the arguments' JSON text of call ``index``."""

    index: int
    text: str


AnswerPart = AnswerText | ReasoningText | ToolCallBegin | ToolCallArguments


class Reader(Protocol):
    @property
    def cut(self) -> bool:
        """Whether the last call's arguments have not ended yet."""

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        """The parts that more text makes; ``last`` says that no text follows."""
