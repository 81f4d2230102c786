"""Calls as Python writes them, in a list that is all of the answer: ``[f(a=1, b="x"), g()]``. Llama 3.2 and 4.

Values are literals. The grammar has them as JSON, whose strings have only escapes that Python has, too, and a whole
argument may be one of Python's words: ``True``. JSON's ``true``, ``false`` and ``null`` are read as well. Arguments
that Python cannot name stand in a dictionary: ``f(**{"a-b": 1})``. A call is known once it is whole; one that is not,
and anything else that is no literal, stays text.
"""

from __future__ import annotations

import ast
import json
import keyword
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import regex

from server.tools.formats.format import Call, Special, ToolFormat, arguments, value
from server.tools.parts import AnswerPart, AnswerText, Reader, ToolCallArguments, ToolCallBegin
from server.tools.use import TOOL_NAME, Function

WORDS = {"true": True, "false": False, "null": None}
KINDS = (("boolean", "True"), ("boolean", "False"), ("null", "None"))
COMBINING = ("$ref", "allOf", "anyOf", "oneOf", "patternProperties", "minProperties", "maxProperties")
BEGINNINGS = (("first", '"['), ("call", '"'))
FIRST = regex.compile(rf"\s*\[\s*(?P<name>{TOOL_NAME})\s*\(")
NEXT = regex.compile(rf"\s*,\s*(?P<name>{TOOL_NAME})\s*\(")
END = regex.compile(r"\s*\]")


class PythonicFormat(ToolFormat):
    name = "pythonic"
    signs = (r"\[\w+\(\w+\s*=", r"<\|python_start\|>")
    opening = ""
    markers = ()
    example = "[name(argument=value)]"
    taken_for_calls = r"\s*\[\s*[a-zA-Z0-9_.:\/-]+\s*\("

    def calls(self, functions: Sequence[Function], schemas: Sequence[Mapping[str, Any]], parallel: bool,
              special: Special) -> list[str]:  # fmt: skip
        more = '(", " call)*' if parallel else ""
        lines, ways = [f'calls: first {more} "]"'], []
        for i, (function, schema) in enumerate(zip(functions, schemas, strict=True)):
            ways.append(f'{function.name}(" arguments{i}_0 ")"')
            lines += _keywords(f"arguments{i}", schema) if _nameable(schema) else _dictionary(f"arguments{i}", schema)
        # The bracket is one with the name: up to there an answer may be text, which would win over a bracket alone.
        return [*lines, *(f"{rule}: {' | '.join(begin + way for way in ways)}" for rule, begin in BEGINNINGS)]

    def reader(self) -> Reader:
        return PythonReader(self)

    def written(self, calls: Sequence[Call]) -> str:
        return f"[{', '.join(f'{name}({_written(given)})' for name, given in calls)}]"


PYTHONIC = PythonicFormat()


def _is_name(key: str) -> bool:
    return key.isascii() and key.isidentifier() and not keyword.iskeyword(key)


def _nameable(schema: Mapping[str, Any]) -> bool:
    """Whether an object by ``schema`` has the named properties and no others, each by its own schema."""
    properties, required = schema.get("properties"), schema.get("required") or ()
    if not isinstance(properties, dict) or False in properties.values() or any(key in schema for key in COMBINING):
        return False
    within = all(ref.startswith(("#/$defs/", "#/definitions/")) for ref in _references(properties))
    known = all(key in properties for key in required)
    return within and known and schema.get("additionalProperties") is False and all(map(_is_name, properties))


def _references(schema: object) -> Iterator[str]:
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                yield reference
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def _keywords(rule: str, schema: Mapping[str, Any]) -> list[str]:
    """Lark of arguments in the order of the properties, from ``rule``_0 on: first the rules before anything is written,
    then those behind a comma."""
    properties, required = schema["properties"], set(schema.get("required") or ())
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    lines = []
    for i, (name, wanted) in enumerate(properties.items()):
        optional = "" if name in required else f" | {rule}_{i + 1}"
        later = "" if name in required else f" | {rule}_more_{i + 1}"
        lines += [
            f"{rule}_{i}: {rule}_is_{i} {rule}_more_{i + 1}{optional}",
            f'{rule}_more_{i}: ", " {rule}_is_{i} {rule}_more_{i + 1}{later}',
            f'{rule}_is_{i}: "{name}=" {rule}_value_{i}',
            f"{rule}_value_{i}: {_value(wanted, shared)}",
        ]
    return [*lines, f'{rule}_{len(properties)}: ""', f'{rule}_more_{len(properties)}: ""']


def _value(schema: Any, shared: Mapping[str, Any]) -> str:
    """Lark of an argument: Python's words for what JSON has words for, and JSON."""
    if not isinstance(schema, dict):
        return value(schema)
    words = [f'"{word}"' for word in sorted(_words(schema))]
    only = schema.get("type") in ("boolean", "null") and not {"enum", "const"} & schema.keys()
    return " | ".join(words if only else [value({**schema, **shared}), *words])


def _words(schema: Mapping[str, Any]) -> set[str]:
    """Which of Python's words are values by ``schema``, as far as that says so itself."""
    if "enum" in schema or "const" in schema:
        given = [*schema.get("enum", []), schema.get("const", 0)]
        return {repr(one) for one in given if one is None or isinstance(one, bool)}
    kinds = schema.get("type")
    found = {word for kind, word in KINDS if kind == kinds or (isinstance(kinds, list) and kind in kinds)}
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return found.union(*(_words(branch) for branch in branches if isinstance(branch, dict)))


def _dictionary(rule: str, schema: Mapping[str, Any]) -> list[str]:
    return [f'{rule}_0: "**" {rule}', f"{rule}: {arguments(schema)}"]


def _written(given: Mapping[str, Any]) -> str:
    if not all(map(_is_name, given)):
        return f"**{json.dumps(given, ensure_ascii=False)}"
    return ", ".join(f"{key}={_literal(one)}" for key, one in given.items())


def _literal(one: Any) -> str:
    return repr(one) if one is None or isinstance(one, bool) else json.dumps(one, ensure_ascii=False)


class PythonReader:
    """One answer: calls from its beginning on, or text."""

    def __init__(self, form: ToolFormat) -> None:
        self._call_id = form.call_id
        self._held = ""
        self._head = FIRST
        self._inside: _Parentheses | None = None  # of the call that is held
        self._calls = 0
        self._text = self._said = False
        self.cut = False

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        self._held += text
        parts: list[AnswerPart] = []
        while not self._text and self._call(parts):
            pass
        if self._text or last:
            self.cut = self._inside is not None
            self._say(last, parts)
        return parts

    def _say(self, last: bool, parts: list[AnswerPart]) -> None:
        """Give out what is held; spaces alone behind calls are nobody's."""
        self._said = self._said or bool(self._held.strip()) or (last and not self._calls)
        if self._held and self._said:
            parts.append(AnswerText(self._held))
            self._held = ""

    def _call(self, parts: list[AnswerPart]) -> bool:
        """Take a call, or the end of all, off what is held; False where more has to be known."""
        head = self._head.match(self._held, partial=True)
        if head is None:
            return self._end()
        if head.partial:
            return False
        self._inside = self._inside or _Parentheses(head.end())
        end = self._inside.close(self._held)
        if end is None:
            return False
        self._inside = None
        given = _arguments(self._held[head.end() : end])
        if given is None:
            self._text = True
            return False
        parts += [ToolCallBegin(self._calls, self._call_id(), head["name"]), ToolCallArguments(self._calls, given)]
        self._calls += 1
        self._held, self._head = self._held[end + 1 :], NEXT
        return True

    def _end(self) -> bool:
        """What follows is text, whatever it is; the bracket that closes the calls is not."""
        end = END.match(self._held, partial=True) if self._calls else None
        if end is not None and end.partial:
            return False
        self._held, self._text = self._held[end.end() if end else 0 :], True
        return False


class _Parentheses:
    """Finds where the parenthesis closes that is open at ``at``, in a text that grows."""

    def __init__(self, at: int) -> None:
        self._at, self._depth = at, 1
        self._quote = ""
        self._escaped = False

    def close(self, text: str) -> int | None:
        for i in range(self._at, len(text)):
            char = text[i]
            if self._escaped:
                self._escaped = False
            elif self._quote:
                self._escaped = char == "\\"
                self._quote = "" if char == self._quote else self._quote
            elif char in "\"'":
                self._quote = char
            elif char in "([{":
                self._depth += 1
            elif char in ")]}":
                self._depth -= 1
                if self._depth == 0:
                    return i
        self._at = len(text)
        return None


def _arguments(source: str) -> str | None:
    """The JSON of a call's arguments; None where they are no literals, or are given twice or by position."""
    try:
        call = ast.parse(f"f({source})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            return None
        given: dict[str, Any] = {}
        for one in call.keywords:
            found = _found(one.value)
            more = {one.arg: found} if one.arg is not None else found
            if given.keys() & more.keys():
                return None
            given |= more
        return json.dumps(given, ensure_ascii=False, allow_nan=False)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None


def _found(node: ast.expr) -> Any:
    """The value of a literal; raises ValueError."""
    match node:
        case ast.Constant(value=str() | int() | float() | None as constant):
            return constant
        case ast.Name(id=word) if word in WORDS:
            return WORDS[word]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_found(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _found(one) for key, one in zip(keys, values, strict=True)}
    raise ValueError("not a literal")


def _key(node: ast.expr | None) -> str:
    match node:
        case ast.Constant(value=str() as key):
            return key
    raise ValueError("not the name of a property")
