"""Keywords that a grammar has not got, in the places where tools have them: 200 schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = Any
TEXT = {"type": "string"}
NAMED = {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer"}}, "required": ["a"]}
LACKED: list[Schema] = [
    {"type": "array", "items": TEXT, "uniqueItems": True},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}, "additionalProperties": {"type": "integer"}},
    {"type": "string", "not": {"const": "x"}},
    NAMED | {"if": {"properties": {"b": {"const": 1}}}, "then": {"required": ["b"]}, "else": {"required": ["a"]}},
    {"type": "array", "items": {"type": "integer"}, "contains": {"const": 1}, "minContains": 1, "maxContains": 3},
    NAMED | {"dependentRequired": {"a": ["b"]}},
    NAMED | {"dependentSchemas": {"a": {"required": ["b"]}}},
    NAMED | {"dependencies": {"a": ["b"]}},
    NAMED | {"unevaluatedProperties": False},
    {"type": "array", "prefixItems": [TEXT], "unevaluatedItems": False},
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {"oneOf": [NAMED, {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}]},
    {"type": "string", "pattern": "^(?!x)[a-z]{1,5}$"},
    {"type": "string", "pattern": "^(?=a)[a-z]{1,3}$"},
    {"type": "string", "pattern": r"^([ab])\1$"},
    {"type": "string", "format": "uri-reference"},
    {"type": "string", "format": "made-up"},
    {"type": "integer", "format": "int32"},
    NAMED | {"minProperties": 2},
    NAMED | {"maxProperties": 2},
]


def places(schema: Schema) -> Iterator[Schema]:
    """The schema where tools have it."""
    yield schema
    for inner in (schema, {"type": "array", "items": schema, "maxItems": 2}, {"anyOf": [schema, {"type": "null"}]}):
        yield {"type": "object", "properties": {"x": inner}, "required": ["x"]}
    yield {"type": "object", "properties": {"x": {"$ref": "#/$defs/d"}}, "required": ["x"], "$defs": {"d": schema}}
    yield {"type": "object", "additionalProperties": schema}
    yield {"type": "object", "properties": {"not": TEXT, "if": schema}, "required": ["not", "if"]}
    yield {"allOf": [schema]}
    yield {"type": "object", "properties": {"x": {"type": "array", "prefixItems": [schema]}}}
    yield {"anyOf": [{"type": "object", "properties": {"x": schema}, "required": ["x"]}, {"type": "integer"}]}
