"""Forms in which a call is a name and a JSON object, told apart by nothing but the literals around them.

From the literals follow the grammar, which writes exactly them, and the reader, which also takes other spaces between
their parts.

Once a call's name is known the call begins, and its arguments follow as they are written. Text that began like a call
but is none, or ended (by the token limit, say) before its name was known, is content after all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import regex

from server.tools.formats.format import Call, Special, ToolFormat, arguments, literal
from server.tools.json_end import JsonEnd
from server.tools.parts import AnswerPart, AnswerText, Reader, ToolCallArguments, ToolCallBegin
from server.tools.use import TOOL_NAME, Function

NAME = "CALLED_NAME"  # in a head that becomes a pattern
PIECES = re.compile(r'"[^"]*"|[\w</>|]+|\S')


@dataclass(frozen=True)
class JsonFormat(ToolFormat):
    """Attributes:
    head: stands before a call's arguments, with {} for its name.
    tail: stands behind them.
    first, between, last: stand before the first call, between two, and behind the last one.
    optional: a marker that may stand before everything.
    """

    name: str
    signs: tuple[str, ...]
    opening: str
    head: str
    tail: str = ""
    first: str = ""
    between: str = ""
    last: str = ""
    optional: str = ""
    markers: tuple[str, ...] = ()

    @property
    def example(self) -> str:  # type: ignore[override]
        return f"{self.opening}{self.first}{self.head.format('...')}{{...}}{self.tail}{self.last}"

    @property
    def taken_for_calls(self) -> str:
        optional = f"({_lenient(self.optional)})?" if self.optional else ""
        return (optional + _lenient(self.head.partition("{}")[0].rstrip('"'))).replace("/", r"\/")

    def calls(self, functions: Sequence[Function], schemas: Sequence[Mapping[str, Any]], parallel: bool,
              special: Special) -> list[str]:  # fmt: skip
        def text(part: str) -> str:
            return literal(part, special)

        marker = f"({text(self.optional)})?" if self.optional in special else ""
        before = f"{marker} {text(self.first)}"
        more = f"({text(self.between)} call)*" if parallel else ""
        lines, each = [f"calls: {before} call {more} {text(self.last)}"], []
        for i, (function, schema) in enumerate(zip(functions, schemas, strict=True)):
            each.append(f"{text(self.head.format(function.name))} arguments{i} {text(self.tail)}")
            lines.append(f"arguments{i}: {arguments(schema)}")
        return [*lines, f"call: {' | '.join(each)}"]

    def reader(self) -> Reader:
        return CallReader(self)

    def written(self, calls: Sequence[Call]) -> str:
        each = [self.head.format(name) + json.dumps(given, ensure_ascii=False) + self.tail for name, given in calls]
        return self.opening + self.first + self.between.join(each) + self.last

    @cached_property
    def patterns(self) -> Patterns:
        head = _lenient(self.head.format(NAME)).replace(NAME, f"(?P<name>{TOOL_NAME})") + r"\s*(?=\{)"
        optional = f"(?:{_lenient(self.optional)})?" if self.optional else ""
        return Patterns(
            opened=regex.compile(_lenient(self.opening) + optional + _lenient(self.first) + head),
            between=regex.compile(_lenient(self.between) + head),
            tail=regex.compile(_lenient(self.tail)),
            last=regex.compile(_lenient(self.last)),
        )


@dataclass(frozen=True)
class Patterns:
    """``opened``: from the opening to the first call's arguments; ``between``: from a call's end to the next one's."""

    opened: regex.Pattern[str]
    between: regex.Pattern[str]
    tail: regex.Pattern[str]
    last: regex.Pattern[str]


def _lenient(text: str) -> str:
    """A pattern of ``text`` with any spaces between its parts, and before it."""
    return "".join(r"\s*" + re.escape(piece) for piece in PIECES.findall(text))


class CallReader:
    """Text with calls in it. Patterns match as far as text has come, so nothing is held back that is no call."""

    def __init__(self, form: JsonFormat) -> None:
        self._opening, self._patterns = form.opening, form.patterns
        self._call_id = form.call_id
        self._state: Callable[[list[AnswerPart]], bool] = self._text if form.opening else self._opened
        self._held = ""
        self._calls = 0
        self._said = False  # anything but spaces, since the last call
        self._json = JsonEnd()

    @property
    def cut(self) -> bool:
        return self._state == self._arguments

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        self._held += text
        parts: list[AnswerPart] = []
        while self._state(parts):
            pass
        if last and self._state not in (self._arguments, self._tail):
            if self._held and (self._held.strip() or not self._calls):
                parts.append(AnswerText(self._held))
            self._held = ""
        return parts

    def _text(self, parts: list[AnswerPart]) -> bool:
        """Read text up to the next call; spaces alone before a call are dropped."""
        before, found, after = self._held.partition(self._opening)
        if found:
            self._say(before, parts)
            self._held, self._state = found + after, self._opened
            return True
        self._say(before[: len(before) - _beginning_of(self._opening, before)], parts)
        return False

    def _plain(self, parts: list[AnswerPart]) -> bool:
        self._say(self._held, parts)
        return False

    def _say(self, text: str, parts: list[AnswerPart]) -> None:
        """Give out ``text``, the beginning of what is held, unless it may be the spaces before a call."""
        self._said = self._said or bool(text.strip())
        if text and self._said:
            parts.append(AnswerText(text))
            self._held = self._held[len(text) :]

    def _opened(self, parts: list[AnswerPart]) -> bool:
        found = self._patterns.opened.match(self._held, partial=True)
        if found is not None:
            return self._begin(found, parts)
        self._state = self._text if self._opening else self._plain
        self._say(self._held[: len(self._opening)], parts)  # it opens no call
        return True

    def _begin(self, found: regex.Match[str], parts: list[AnswerPart]) -> bool:
        if found.partial:
            return False
        parts.append(ToolCallBegin(self._calls, self._call_id(), found["name"]))
        self._held, self._state, self._json = self._held[found.end() :], self._arguments, JsonEnd()
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
        self._said = False
        self._state = self._tail
        return True

    def _tail(self, parts: list[AnswerPart]) -> bool:
        return self._passed(self._patterns.tail, self._next)

    def _next(self, parts: list[AnswerPart]) -> bool:
        """Another call, or the end of calls."""
        found = self._patterns.between.match(self._held, partial=True)
        if found is not None:
            return self._begin(found, parts)
        return self._passed(self._patterns.last, self._text if self._opening else self._plain)

    def _passed(self, literal: regex.Pattern[str], after: Callable[[list[AnswerPart]], bool]) -> bool:
        """Go on behind a literal, if it is there, as soon as that is known."""
        found = literal.match(self._held, partial=True)
        if found is not None and found.partial:
            return False
        self._held, self._state = self._held[found.end() if found else 0 :], after
        return True


def _beginning_of(word: str, text: str) -> int:
    """Length of the longest tail of ``text`` that begins ``word``."""
    return next((n for n in range(min(len(word) - 1, len(text)), 0, -1) if word.startswith(text[-n:])), 0)
