"""Answers that have no calls in their text, or nothing but one call's arguments.

Calls among text are read by the model's own form (``server/tools/formats``). All readers take text piece by piece, so
that streams and whole answers agree.
"""

from __future__ import annotations

from server.tools.formats.format import ToolFormat
from server.tools.json_end import JsonEnd
from server.tools.parts import AnswerPart, AnswerText, Reader, ToolCallArguments, ToolCallBegin
from server.tools.use import ToolUse


def reader_for(tools: ToolUse, written: ToolFormat) -> Reader:
    """A reader of one answer, whose calls are ``written`` in the model's form."""
    if tools.mode == "none":
        return PlainReader()
    return ArgumentsReader(tools.allowed[0].name, written.call_id()) if tools.mode == "named" else written.reader()


class PlainReader:
    cut = False

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        return [AnswerText(text)] if text else []


class ArgumentsReader:
    """The whole text is the arguments of one call."""

    def __init__(self, name: str, call_id: str) -> None:
        self._begin: list[AnswerPart] = [ToolCallBegin(0, call_id, name)]
        self._json = JsonEnd()
        self.cut = True

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        begin, self._begin = self._begin, []
        self.cut = self.cut and self._json.find(text) is None
        return begin + ([ToolCallArguments(0, text)] if text else [])
