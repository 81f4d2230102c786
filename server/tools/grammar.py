"""The structure that makes an answer call its tools correctly.

A named tool's answer is its arguments and nothing else. Otherwise calls are written in Hermes' form, free text before
them where the model may answer instead, and then the request's own ``response_format`` holds for that answer.

The grammar is llguidance's Lark, which takes JSON schemas inline. Spaces inside arguments are fixed: left free, a
model that is unsure writes spaces until its limit. So are escapes: \\uXXXX is a second way to write a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from server.tools.loosening import Arguments, Calls
from server.tools.use import Constraint, ToolUse

FORMATS = ("response_format", "text.format")
COMPACT = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": 'nrbtf\\"',
}


def constraint_of(tools: ToolUse, answer: Constraint | None) -> Constraint | None:
    """The constraint of the whole text, given that of an ``answer`` that calls nothing.

    Raises:
        InvalidRequestError: where the two cannot be combined, or a strict schema cannot be followed.
    """
    if tools.mode == "none":
        return answer
    if answer is not None and answer.field not in FORMATS:
        raise InvalidRequestError(f"{answer.field}: cannot be combined with tools", answer.field)
    arguments = tuple(
        Arguments.of(function, f"{tools.field.format(tools.functions.index(function))}.parameters")
        for function in tools.allowed
    )
    return Calls(arguments, partial(_structure, tools, answer), answer if tools.mode == "auto" else None).constraint()


def _structure(tools: ToolUse, answer: Constraint | None, schemas: Sequence[Mapping[str, Any]]) -> Structure:
    """Raises InvalidRequestError where it would be too long."""
    if tools.mode == "named":
        return Structure("json_schema", _compact(schemas[0]))
    return Structure("grammar", lark(tools, schemas, None if answer is None else answer.structure.source))


def lark(tools: ToolUse, schemas: Sequence[Mapping[str, Any]], answer_schema: str | None = None) -> str:
    """Calls of the allowed tools, with arguments by ``schemas``; in mode "auto" also text, or JSON by
    ``answer_schema``."""
    more = r' ("\n<tool_call>" call)*' if tools.parallel else ""
    lines = ["%llguidance {}"]
    if tools.mode == "required":
        lines.append(f'start: "<tool_call>" call{more}')
    elif answer_schema is not None:
        lines += [f'start: answer | "<tool_call>" call{more}', f"answer: %json {answer_schema}"]
    else:
        lines += [
            f"start: TEXT | until_call call{more}",
            r"TEXT: /(.|\n)*/ & ~/(.|\n)*<tool_call>(.|\n)*/",
            r"until_call[lazy]: /(.|\n)*<tool_call>/",
        ]
    calls = []
    for i, function in enumerate(tools.allowed):
        calls.append(rf'"\n{{\"name\": \"{function.name}\", \"arguments\": " arguments{i} "}}\n</tool_call>"')
        lines.append(f"arguments{i}: %json {_compact(schemas[i])}")
    return "\n".join([*lines, f"call: {' | '.join(calls)}", ""])


def _compact(schema: Mapping[str, Any]) -> str:
    return orjson.dumps({**schema, "type": "object", "x-guidance": COMPACT}).decode()
