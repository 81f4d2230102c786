"""The structure that makes an answer call its tools correctly.

A named tool's answer is its arguments and nothing else. Otherwise calls are written in the model's own form
(``server/tools/formats``), free text before them where the model may answer instead, and then the request's own
``response_format`` holds for that answer.

The grammar is llguidance's Lark, which takes JSON schemas inline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from server.tools.formats.format import COMPACT, Special, ToolFormat
from server.tools.formats.hermes import HERMES
from server.tools.loosening import Arguments, Calls
from server.tools.use import Constraint, ToolUse

FORMATS = ("response_format", "text.format", "output_config.format", "output_format")
NO_SPECIAL: Special = {}


def constraint_of(
    tools: ToolUse, answer: Constraint | None, written: ToolFormat, special: Special
) -> Constraint | None:
    """The constraint of the whole text, given that of an ``answer`` that calls nothing.

    Args:
        written: the form of the model's calls.
        special: its markers that are special tokens.

    Raises:
        InvalidRequestError: where the two cannot be combined, or a strict schema cannot be followed.
    """
    if tools.mode == "none":
        return answer
    if answer is not None and answer.field not in FORMATS:
        raise InvalidRequestError(f"{answer.field}: cannot be combined with tools", answer.field)
    arguments = tuple(map(Arguments.of, tools.allowed))
    write = partial(_structure, tools, answer, written, special)
    return Calls(arguments, write, answer if tools.mode == "auto" else None).constraint()


def _structure(
    tools: ToolUse,
    answer: Constraint | None,
    written: ToolFormat,
    special: Special,
    schemas: Sequence[Mapping[str, Any]],
) -> Structure:
    """Raises InvalidRequestError where it would be too long."""
    if tools.mode == "named":
        return Structure("json_schema", _compact(schemas[0]))
    source = None if answer is None else answer.structure.source
    return Structure("grammar", lark(tools, schemas, source, written, special))


def lark(
    tools: ToolUse,
    schemas: Sequence[Mapping[str, Any]],
    answer_schema: str | None = None,
    written: ToolFormat = HERMES,
    special: Special = NO_SPECIAL,
) -> str:
    """Calls of the allowed tools, with arguments by ``schemas``; in mode "auto" also text, or JSON by
    ``answer_schema``."""
    lines = ["%llguidance {}", *written.start(tools.mode == "required", answer_schema is not None, special)]
    if tools.mode != "required" and answer_schema is not None:
        lines.append(f"answer: %json {answer_schema}")
    return "\n".join([*lines, *written.calls(tools.allowed, schemas, tools.parallel, special), ""])


def _compact(schema: Mapping[str, Any]) -> str:
    return orjson.dumps({**schema, "type": "object", "x-guidance": COMPACT}).decode()
