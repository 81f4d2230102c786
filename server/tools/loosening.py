"""What the arguments of an answer's calls are held to, and less of it where the grammar cannot be had.

``held.py`` leaves out single keywords. What is still too long, or refused by the engine, is let go by function: of one
that is not strict the arguments are then any JSON object, and it is named. One tool among twenty that cannot be
followed costs its own constraint, neither the turn nor the others'. Where no single one is at fault the largest is let
go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import MAX_STRUCTURE_LENGTH, Structure, schemas_at_fault
from server.tools.held import held
from server.tools.use import Constraint, Function, in_clients_words

ANY: Mapping[str, Any] = {"type": "object"}
BESIDE = 300  # characters that a structure has for each function beside its schema, its name not counted
ONE_BY_ONE = 2  # that are let go for their size alone; then all are, since each try may take all the time it is given
COMPILERS = re.compile(r"structure: \w+: schema \d+: ")
RULE = re.compile(r"(?:answer|arguments(\d+))\w*:")  # of a form's grammar (``formats``), with schemas in it
SCHEMA = "%json "
Write = Callable[[Sequence[Mapping[str, Any]]], Structure]


@dataclass(frozen=True)
class Arguments:
    """Of one function.

    Attributes:
        at: the field of its schema.
        schema: what they are held to.
        left_out: places of what that leaves out of the client's schema.
    """

    at: str
    strict: bool
    schema: Mapping[str, Any]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, function: Function) -> Arguments:
        """Raises InvalidRequestError where something would be left out of a strict schema."""
        at = function.schema_at
        schema, left_out = held(function.schema, function.strict, at)
        kind = function.schema.get("type", "object")
        if kind != "object" and (function.strict or not (isinstance(kind, list) and "object" in kind)):
            if function.strict:
                raise InvalidRequestError(f"{at}.type: must be 'object' in a strict schema", f"{at}.type")
            left_out = [f"{at}/type", *left_out]
        return cls(at, function.strict, schema | {"type": "object"}, tuple(left_out))

    @cached_property
    def size(self) -> int:
        return len(orjson.dumps(self.schema))

    @property
    def may_go(self) -> bool:
        return not self.strict and self.schema is not ANY

    def let_go(self) -> Arguments:
        return replace(self, schema=ANY, left_out=(self.at,))


@dataclass(frozen=True)
class Calls:
    """
    Attributes:
        arguments: of the functions that may be called, in the order of their schemas in the structure.
        write: the structure with these schemas; raises InvalidRequestError where it is too long.
        answer: what an answer that calls nothing is held to; its schema comes first.
        for_size: how many were let go for their size after the engine refused them.
    """

    arguments: tuple[Arguments, ...]
    write: Write
    answer: Constraint | None
    for_size: int = 0

    def constraint(self) -> Constraint:
        """Raises InvalidRequestError, in the client's words, where it is too long without all that may go."""
        try:
            structure = self.write([one.schema for one in self.arguments])
        except InvalidRequestError as error:
            shorter = self._without(self._too_long())
            if shorter == self:
                raise in_clients_words(error, "tools") from None
            return shorter.constraint()
        left_out = [place for one in self.arguments for place in one.left_out]
        return Constraint(structure, "tools", (*left_out, *(self.answer.relaxed if self.answer else ())), self.looser)

    def looser(self, error: InvalidRequestError) -> Constraint:
        """What is left without the schemas that ``error``, the engine's, is about; raises it where they are bound."""
        owners = self._owners()
        faults = {owners[number] for number in schemas_at_fault(error.param)}
        if self.answer is not None and None in faults:
            raise in_clients_words(error, self.answer.field)
        numbers = {number for number in faults if number is not None}
        for number in sorted(numbers):
            one = self.arguments[number]
            if not one.may_go:
                why = COMPILERS.sub("", str(error)) if number == min(numbers) else "no answer can be held to it"
                raise InvalidRequestError(f"{one.at}: {why}", one.at)
        if numbers:
            return self._without(numbers).constraint()
        free = {number for number, one in enumerate(self.arguments) if one.may_go}
        if not free:
            raise in_clients_words(error, "tools")
        least = {max(free, key=lambda number: self.arguments[number].size)}
        fewer = self._without(least if self.for_size < ONE_BY_ONE else free)
        return replace(fewer, for_size=self.for_size + 1).constraint()

    def _owners(self) -> list[int | None]:
        """Whose each schema of the structure is, in order: a function's, or the answer's (None)."""
        structure = self.write([one.schema for one in self.arguments])
        if structure.kind == "json_schema":
            return [0]
        found: list[int | None] = []
        for line in structure.source.splitlines():
            if rule := RULE.match(line):
                found += [None if rule[1] is None else int(rule[1])] * line.count(SCHEMA)
        return found

    def _without(self, numbers: set[int]) -> Calls:
        less = (one.let_go() if number in numbers else one for number, one in enumerate(self.arguments))
        return replace(self, arguments=tuple(less))

    def _too_long(self) -> set[int]:
        """The largest that may go, as many as it takes; measured, since writing all of them again and again is slow."""
        room = MAX_STRUCTURE_LENGTH - sum(one.size + BESIDE for one in self.arguments)
        go: set[int] = set()
        for number in sorted(range(len(self.arguments)), key=lambda number: -self.arguments[number].size):
            if (room < 0 or not go) and self.arguments[number].may_go:
                room += self.arguments[number].size
                go.add(number)
        return go
