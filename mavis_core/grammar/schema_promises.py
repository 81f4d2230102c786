"""Which JSON schemas are refused although llguidance takes them: those that it cannot hold answers to. Torch-free.

A finished answer always fits its schema. The library refuses keywords that it does not know, but takes some schemas
that it follows only in part, and some that lead to places where nothing can follow. Each is refused here by where it
stands. ``tests/mavis_core/grammar/test_schema_promises.py`` looks for more of them, by random answers to random
schemas.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from mavis_core.api.errors import InvalidRequestError

if TYPE_CHECKING:
    from llguidance import LLTokenizer
    from llguidance._lib import JsonCompileOptions

MAX_MULTIPLE = 100_000

# Letters of escapes in strings; without u, since \\uXXXX is a second way to write a key that a schema names.
ESCAPES = 'nrbtf\\"'
DEFAULTS: JsonCompileOptions = {"whitespace_flexible": False, "json_allowed_escapes": ESCAPES}
INLINE: JsonCompileOptions = {"json_allowed_escapes": ESCAPES}

DATA = ("const", "enum")
NUMBERS = (*DATA, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
JSON_MAY_HOLD = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")  # what has no escape of one letter

SchemaNode = dict[str, object]


def check_schema(schema: object) -> None:
    """Args: schema: with numbers that have a point as Decimal. Raises InvalidRequestError with param "structure"."""
    nodes = list(schemas_within(schema))
    _check_multiples(node for _, node in nodes)
    names = _names(node for _, node in nodes)
    for pointer, node in nodes:
        for key in NUMBERS:
            _check_data(node.get(key), f"{pointer}/{key}")
        _check_count(node, pointer)
        _check_multiple_within(node, pointer)
        if "additionalItems" in node and "prefixItems" in node:
            raise _wrong(f"{pointer}/additionalItems", "cannot be combined with prefixItems; use items")
        patterns = node.get("patternProperties")
        for pattern, held in patterns.items() if isinstance(patterns, dict) else ():
            where = f"{pointer}/patternProperties/{_escaped(pattern)}"
            if held is False and not _room({"patternProperties": {pattern: False}, "minProperties": 1}, []):
                raise _wrong(where, "false for every key; use additionalProperties: false")
            if names and not _room({"patternProperties": {pattern: {}}, "additionalProperties": False}, names):
                raise _wrong(where, "matches nothing but keys that properties name; leave it out")


def schemas_within(schema: object) -> Iterator[tuple[str, SchemaNode]]:
    """(JSON pointer, schema) of every object that may be one, also in unknown places, which $ref can lead to."""
    pending: list[tuple[str, object]] = [("#", schema)]
    while pending:
        pointer, node = pending.pop()
        if isinstance(node, list):
            pending += ((f"{pointer}/{i}", value) for i, value in enumerate(node))
        elif isinstance(node, dict):
            yield pointer, node
            for key, value in node.items():
                if key in MAPS and isinstance(value, dict):
                    pending += ((f"{pointer}/{key}/{_escaped(name)}", held) for name, held in value.items())
                elif key not in DATA:
                    pending.append((f"{pointer}/{_escaped(key)}", value))


def place_of(key: str, schema: object) -> str:
    """Where a schema uses a keyword first, or nothing."""
    return min((f" at {pointer}" for pointer, node in schemas_within(schema) if key in node), key=len, default="")


def _check_data(value: object, pointer: str) -> None:
    """Numbers are read as doubles and written as their shortest decimals; strings are written without \\\\uXXXX."""
    pending = [(pointer, value)]
    while pending:
        pointer, value = pending.pop()
        if isinstance(value, dict):
            pending += ((f"{pointer}/{_escaped(key)}", held) for key, held in value.items())
        elif isinstance(value, list):
            pending += ((f"{pointer}/{i}", held) for i, held in enumerate(value))
        elif isinstance(value, str) and (found := JSON_MAY_HOLD.search(value)):
            raise _wrong(pointer, f"holds the control character U+{ord(found[0]):04X}, which answers cannot")
        elif isinstance(value, (int, Decimal)) and not isinstance(value, bool) and not _is_exact(value):
            raise _wrong(pointer, f"{str(value)[:40]} has more digits than a double; at most 15 are kept for sure")


def _is_exact(value: int | Decimal) -> bool:
    try:
        return Decimal(repr(float(value))) == value
    except OverflowError:
        return False


def _check_count(node: SchemaNode, pointer: str) -> None:
    """Keys that the schema does not name may come twice, and the library counts them twice."""
    least, required = node.get("minProperties"), node.get("required")
    if not isinstance(least, (int, Decimal)) or isinstance(least, bool):
        return
    sure = len(set(map(str, required))) if isinstance(required, list) else 0
    closed = node.get("additionalProperties") is False and not node.get("patternProperties")
    if least > sure + 1 and not closed:
        raise _wrong(
            f"{pointer}/minProperties",
            f"{least}: must be at most one more than required names ({sure}), or all keys named",
        )


def _check_multiples(nodes: Iterator[SchemaNode]) -> None:
    """Refuse ``multipleOf`` that makes large automata, which llguidance's limits do not bound.

    Where schemas are combined it takes the least common multiple, so that of all of them is bounded.
    """
    multiple = 1
    for node in nodes:
        value = node.get("multipleOf")
        if isinstance(value, (int, Decimal)) and value > 0:
            multiple = math.lcm(multiple, _coefficient(value))
        if multiple > MAX_MULTIPLE:
            raise InvalidRequestError(
                f"structure: json_schema: the least common multiple of all multipleOf (without their decimal points) "
                f"must be at most {MAX_MULTIPLE}",
                "structure",
            )


def _coefficient(value: int | Decimal) -> int:
    """An integer as it is, the digits of what has a point; beyond the bound what is just beyond it."""
    if value > MAX_MULTIPLE:
        return MAX_MULTIPLE + 1
    if value == int(value):
        return int(value)
    digits = "".join(map(str, Decimal(value).as_tuple().digits)).rstrip("0")
    return int(digits) if len(digits) < 9 else MAX_MULTIPLE + 1


def _check_multiple_within(node: SchemaNode, pointer: str) -> None:
    """Bounds between which no multiple lies."""
    step = _fraction(node.get("multipleOf"))
    if step is None or step <= 0:
        return
    if node.get("type") == "integer":
        step = Fraction(math.lcm(step.numerator, step.denominator), step.denominator)
    least, below = _fraction(node.get("minimum")), _fraction(node.get("exclusiveMinimum"))
    most, above = _fraction(node.get("maximum")), _fraction(node.get("exclusiveMaximum"))
    lows = [math.ceil(least / step)] * (least is not None) if least is not None else []
    lows += [math.floor(below / step) + 1] if below is not None else []
    highs = [math.floor(most / step)] if most is not None else []
    highs += [math.ceil(above / step) - 1] if above is not None else []
    if lows and highs and max(lows) > min(highs):
        raise _wrong(f"{pointer}/multipleOf", "no multiple of it lies within the bounds")


def _fraction(value: object) -> Fraction | None:
    return Fraction(value) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def _names(nodes: Iterator[SchemaNode]) -> list[str]:
    """All that schemas name as keys."""
    found: dict[str, None] = {}
    for node in nodes:
        for key in ("properties", "required"):
            named = node.get(key)
            if isinstance(named, (dict, list)):
                found |= dict.fromkeys(name for name in named if isinstance(name, str))
    return list(found)


def _room(schema: SchemaNode, names: list[str]) -> bool:
    """Whether an object that has these keys can have one more; true also where the library does not take the schema."""
    from llguidance import LLMatcher

    closed = {"type": "object", "properties": {name: {} for name in names}, "required": names, **schema}
    values = ",".join(f"{json.dumps(name, ensure_ascii=False)}:0" for name in names)
    matcher = LLMatcher(
        _bytes(), LLMatcher.grammar_from_json_schema(json.dumps(closed), defaults=DEFAULTS), log_level=0
    )
    for byte in f"{{{values},".encode() if names else b"{":
        if matcher.is_error() or not matcher.consume_token(byte):
            return True
    matcher.compute_bitmask()
    return not matcher.get_error().startswith("NoExtension")


@cache
def _bytes() -> LLTokenizer:
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


def _escaped(name: str) -> str:
    """As a part of a JSON pointer, at a readable length."""
    short = name if len(name) <= 40 else name[:39] + "…"
    return short.replace("~", "~0").replace("/", "~1")


def _wrong(pointer: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"structure: json_schema: {pointer}: {why}", "structure")
