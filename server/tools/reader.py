"""Reads calls from an answer's text piece by piece, so that streams and whole answers agree.

Once a call's name is known the call begins, and its arguments follow as they are written. Text that began like a call
but ended (by the token limit, say) before its name was known is content after all.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Protocol

from server.tools.use import TOOL_NAME, ToolUse

OPEN = "<tool_call>"
HEAD = re.compile(rf'\s*\{{\s*"name"\s*:\s*"({TOOL_NAME})"\s*,\s*"arguments"\s*:\s*(?=\{{)')
TAIL = re.compile(r"\s*\}\s*</tool_call>")


@dataclass(frozen=True, slots=True)
class AnswerText:
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


AnswerPart = AnswerText | ToolCallBegin | ToolCallArguments


class Reader(Protocol):
    @property
    def cut(self) -> bool:
        """Whether the last call's arguments have not ended yet."""

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        """The parts that more text makes; ``last`` says that no text follows."""


def reader_for(tools: ToolUse) -> Reader:
    if tools.mode == "none":
        return PlainReader()
    return ArgumentsReader(tools.allowed[0].name) if tools.mode == "named" else CallReader()


def calls_begin(tools: ToolUse) -> str | None:
    """The text with which calls begin; "" where there is nothing else in the answer, None where there are none."""
    if tools.mode == "none":
        return None
    return OPEN if tools.mode == "auto" else ""


class PlainReader:
    cut = False

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        return [AnswerText(text)] if text else []


class ArgumentsReader:
    """The whole text is the arguments of one call."""

    def __init__(self, name: str) -> None:
        self._begin: list[AnswerPart] = [ToolCallBegin(0, call_id(), name)]
        self._json = JsonEnd()
        self.cut = True

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        begin, self._begin = self._begin, []
        self.cut = self.cut and self._json.find(text) is None
        return begin + ([ToolCallArguments(0, text)] if text else [])


class CallReader:
    """Free text with calls in Hermes' form in it."""

    def __init__(self) -> None:
        self._state = self._text
        self._held = ""
        self._calls = 0
        self._json = JsonEnd()

    @property
    def cut(self) -> bool:
        return self._state == self._arguments

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        self._held += text
        parts: list[AnswerPart] = []
        while self._state(parts):
            pass
        if last and self._held and self._state in (self._text, self._head):
            opened = OPEN if self._state == self._head else ""
            if opened or not self._held.isspace() or not self._calls:
                parts.append(AnswerText(opened + self._held))
            self._held = ""
        return parts

    def _text(self, parts: list[AnswerPart]) -> bool:
        """Read text up to the next call; spaces next to a call are dropped."""
        before, found, after = self._held.partition(OPEN)
        if found:
            if before.strip():
                parts.append(AnswerText(before))
            self._held, self._state = after, self._head
            return True
        keep = _beginning_of(OPEN, before)
        ready = before[: len(before) - keep]
        if ready and not ready.isspace():
            parts.append(AnswerText(ready))
            self._held = before[len(ready) :]
        return False

    def _head(self, parts: list[AnswerPart]) -> bool:
        head = HEAD.match(self._held)
        if head is None:
            return False
        parts.append(ToolCallBegin(self._calls, call_id(), head[1]))
        self._held, self._state, self._json = self._held[head.end() :], self._arguments, JsonEnd()
        return True

    def _arguments(self, parts: list[AnswerPart]) -> bool:
        end = self._json.find(self._held)
        text = self._held if end is None else self._held[:end]
        if text:
            parts.append(ToolCallArguments(self._calls, text))
        self._held = self._held[len(text) :]
        if end is None:
            return False
        self._calls += 1
        self._state = self._tail
        return True

    def _tail(self, parts: list[AnswerPart]) -> bool:
        tail = TAIL.match(self._held)
        if tail is None:
            return False
        self._held, self._state = self._held[tail.end() :], self._text
        return True


class JsonEnd:
    """Finds the end of a JSON object that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = False

    def find(self, text: str) -> int | None:
        """Where in ``text``, the next piece, the object ends; None if it goes on."""
        for i, char in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                self._escaped, self._quoted = char == "\\", char != '"'
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return i + 1
        return None


def call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _beginning_of(word: str, text: str) -> int:
    """Length of the longest tail of ``text`` that begins ``word``."""
    return next((n for n in range(min(len(word) - 1, len(text)), 0, -1) if word.startswith(text[-n:])), 0)
