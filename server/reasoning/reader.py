"""Takes the reasoning out of an answer's text, and hands the rest to the reader of what is said.

Spaces around the reasoning and before what follows it are nobody's. An answer that is cut inside its reasoning is all
reasoning.
"""

from __future__ import annotations

from collections.abc import Callable

from mavis_core.api.reasoning import Reasoning
from mavis_core.text.detokenizer import held_back
from server.tools.parts import AnswerPart, Reader, ReasoningText


class ReasoningReader:
    def __init__(self, reasoning: Reasoning, answer: Reader) -> None:
        self._begin, self._end = reasoning.begin, reasoning.end
        self._answer = answer
        self._held = ""
        self._opened = reasoning.opened
        self._state: Callable[[list[AnswerPart], bool], bool] = self._before

    @property
    def cut(self) -> bool:
        return self._answer.cut

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        self._held += text
        parts: list[AnswerPart] = []
        while self._state(parts, last):
            pass
        return parts

    def _before(self, parts: list[AnswerPart], last: bool) -> bool:
        """Whether the answer begins with the mark; also one whose prompt has it may repeat it."""
        there = self._held.lstrip()
        if not last and len(there) < len(self._begin) and self._begin.startswith(there):
            return False
        begun = there.startswith(self._begin)
        if begun or self._opened:
            self._held, self._state = there.removeprefix(self._begin).lstrip(), self._first
        else:
            self._state = self._behind
        return True

    def _first(self, parts: list[AnswerPart], last: bool) -> bool:
        self._held = self._held.lstrip()
        self._state = self._inside if self._held else self._first
        return bool(self._held)

    def _inside(self, parts: list[AnswerPart], last: bool) -> bool:
        text, ended, after = self._held.partition(self._end)
        keep = 0 if ended or last else held_back(text, [self._end])
        ready = text[: len(text) - keep].rstrip()
        if ready:
            parts.append(ReasoningText(ready))
        if ended:
            self._held, self._state = after, self._gap
        else:
            self._held = text[len(ready) :]
        return bool(ended)

    def _gap(self, parts: list[AnswerPart], last: bool) -> bool:
        self._held = self._held.lstrip()
        self._state = self._behind if self._held or last else self._gap
        return self._state == self._behind

    def _behind(self, parts: list[AnswerPart], last: bool) -> bool:
        text, self._held = self._held, ""
        parts += self._answer.read(text, last)
        return False
