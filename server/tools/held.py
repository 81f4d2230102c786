"""What an answer is held to of a JSON schema that a client sends: less than it says, where the grammar cannot follow.

Tools come by the dozen from programs that never asked what a grammar can do, and one keyword of one of them must not
cost the turn. So a keyword that the grammar library lacks is left out, and named, unless the schema is ``strict``: then
it is refused by its place. So is a ``$ref`` that leads nowhere. What says nothing about the answer (descriptions,
defaults, examples) is left out unnamed: a server's worth of tools must fit into one grammar. The model is shown the
schema as it came.

Objects that name their properties are closed where they do not say otherwise: an open one invites keys that nobody
asked for, and small models accept. What is written still fits the client's schema. Left open are objects that name
nothing, and those that another schema adds to (``allOf``, ``$ref`` beside properties), which closing could leave
without any answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from mavis_core.api.errors import InvalidRequestError

LACKING = frozenset({
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems", "propertyNames",
    "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedItems", "unevaluatedProperties",
    "$dynamicRef", "$recursiveRef",
})  # fmt: skip
FORMATS = frozenset({
    "date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri",
})  # fmt: skip
LOOKS_AROUND = re.compile(r"\(\?(=|!|<=|<!|>)|(?<!\\)(?:\\\\)*\\([1-9bB]|k<)")  # \b looks at both sides
MOST_STEPS, MOST_KEYS = 32, 64  # from $ref to $ref; of a record whose keys are named, or branches that a $ref counts
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
SAID = frozenset({
    "title", "description", "default", "examples", "example", "$comment", "deprecated", "readOnly", "writeOnly",
})  # fmt: skip
DATA = ("const", "enum")
MAPS = ("properties", "patternProperties", "$defs", "definitions")
COMBINED = ("allOf", "anyOf", "oneOf", "$ref")
OF_PROPERTIES = ("properties", "required", "additionalProperties", "patternProperties", "minProperties")
TYPES_APART = frozenset({"string", "number", "boolean", "null", "array", "object"})

Schema = Mapping[str, Any]


def held(schema: Schema, strict: bool, at: str) -> tuple[dict[str, Any], list[str]]:
    """The schema to follow, and the places of what it leaves out of ``schema``, which is the field ``at``.

    Raises:
        InvalidRequestError: where something would be left out of a strict schema.
    """
    reading = _Reading(schema, closes_definitions=not any(map(_adds, _nodes(schema))))
    made = reading.node(schema, "", closes=not _adds(schema))
    if strict and reading.dropped:
        pointer, why = next(iter(reading.dropped.items()))
        raise InvalidRequestError(f"{at}: #{pointer}: {why} in a strict schema", at)
    return made, [at + pointer for pointer in reading.dropped]


@dataclass
class _Reading:
    root: Schema
    closes_definitions: bool
    dropped: dict[str, str] = field(default_factory=dict)  # JSON pointer -> why

    def node(self, schema: Schema, pointer: str, closes: bool) -> dict[str, Any]:
        made: dict[str, Any] = {}
        inside = closes and not _adds(schema)
        for key, value in schema.items():
            place = f"{pointer}/{_escaped(key)}"
            why = self._lacking(schema, key, value)
            if why:
                self.dropped[place] = why
            elif key in SAID or key in LACKING:  # of the latter, what says nothing or is said in another way
                continue
            elif key in DATA or key.startswith("x-"):
                made[key] = value
            elif key in MAPS and isinstance(value, dict):
                closed = self.closes_definitions if key in ("$defs", "definitions") else True
                made[key] = {name: self._value(one, f"{place}/{_escaped(name)}", closed) for name, one in value.items()}
            elif key == "oneOf" and isinstance(value, list):
                self._one_of(made, schema, value, place, inside)
            else:
                made[key] = self._value(value, place, inside if key in COMBINED else True)
        if keys := _named_keys(schema):
            made["properties"] = dict.fromkeys(keys, made.get("additionalProperties", {}))
            made["additionalProperties"] = False
        elif closes and _closes(made):
            made["additionalProperties"] = False
        return made

    def _lacking(self, schema: Schema, key: str, value: object) -> str | None:
        if key in ("minProperties", "maxProperties"):
            return _count(schema)
        if key == "$ref" and not _leads_somewhere(self.root, value):
            return f"{str(value)[:40]!r} leads nowhere"
        if key == "propertyNames" and _named_keys(schema):
            return None
        return _lacking(key, value)

    def _value(self, value: Any, pointer: str, closes: bool) -> Any:
        if isinstance(value, dict):
            return self.node(value, pointer, closes)
        if isinstance(value, list):
            return [self._value(one, f"{pointer}/{i}", closes) for i, one in enumerate(value)]
        return value

    def _one_of(self, made: dict[str, Any], schema: Schema, branches: list[Any], place: str, closes: bool) -> None:
        """As ``anyOf``, which is the same where no two branches can hold at once; not beside another one."""
        if "anyOf" not in schema and not _exclude_each_other(branches):
            self.dropped[place] = "branches that may hold together are not supported"
        one = [self._value(branch, f"{place}/{i}", closes) for i, branch in enumerate(branches)]
        made["oneOf" if "anyOf" in schema else "anyOf"] = one


def _lacking(key: str, value: object) -> str | None:
    if key in LACKING:
        return None if _says_nothing(key, value) else "is not supported"
    if key == "format" and not (isinstance(value, str) and value in FORMATS):
        return f"{str(value)[:40]!r} is not supported"
    if key == "pattern" and isinstance(value, str) and LOOKS_AROUND.search(value):
        return "look-around and back references are not supported"
    if key in BOUNDS and isinstance(value, int) and not _is_double(value):
        return "has more digits than a double"
    return None


def _named_keys(schema: Schema) -> list[str]:
    """Of a record whose keys are given by name, which is an object that has these properties and no others.

    Only of values that hold no schemas themselves: each key repeats them, and records of records would multiply.
    """
    names, value = schema.get("propertyNames"), schema.get("additionalProperties", {})
    keys = names.get("enum") if isinstance(names, dict) and names.keys() <= {"enum", "type"} else None
    if not isinstance(keys, list) or len(keys) > MOST_KEYS or not all(isinstance(key, str) for key in keys):
        return []
    if isinstance(value, dict) and any(isinstance(inside, (dict, list)) for inside in value.values()):
        return []
    beside = any(
        key in schema for key in ("properties", "patternProperties", "minProperties", "maxProperties", *COMBINED)
    )
    return [] if beside or not set(_required(schema)) <= set(keys) else keys


def _says_nothing(key: str, value: object) -> bool:
    """Whether every answer fits it anyway: keys are strings, say, which is all that zod says of those of a record."""
    if key == "uniqueItems":
        return value is False
    if key == "propertyNames":
        return value is True or (isinstance(value, dict) and (not value or value == {"type": "string"}))
    return value is True if key.startswith("unevaluated") else value == {} and key.startswith("dependent")


def _is_double(value: int) -> bool:
    """Whether it is written out as a double as it is as an integer, which 64 bits of it are not."""
    try:
        return Decimal(repr(float(value))) == value
    except OverflowError:
        return False


def _leads_somewhere(root: Schema, ref: object) -> bool:
    """Whether it points into the schema itself, and not only round in circles; others' schemas are not fetched."""
    for _ in range(MOST_STEPS):
        found = _pointed_at(root, ref) if isinstance(ref, str) else None
        if not isinstance(found, dict) or "$ref" not in found:
            return isinstance(found, (dict, bool))
        ref = found["$ref"]
    return False


def _pointed_at(root: Schema, ref: str) -> object:
    """What a JSON pointer in a fragment leads to; None where it leads to nothing."""
    if not (ref == "#" or ref.startswith("#/")):
        return None
    place: object = root
    for step in unquote(ref).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list):
            place = place[int(name)] if name in map(str, range(min(len(place), MOST_KEYS))) else None
        else:
            place = place.get(name) if isinstance(place, dict) else None
    return place


def _count(schema: Schema) -> str | None:
    """Why the number of properties cannot be followed: keys may come twice, and optional ones are not counted."""
    named, sure = schema.get("properties"), set(_required(schema))
    counts = [schema.get(key, 0) for key in ("minProperties", "maxProperties")]
    every = not isinstance(named, dict) or set(named) <= sure
    few = all(isinstance(count, int) and count <= 1 for count in counts)
    enough = isinstance(counts[0], int) and counts[0] <= len(sure) + 1
    return None if enough and (every or few) else "is not supported beside optional properties"


def _closes(made: Schema) -> bool:
    """Whether nothing but the named properties needs to be there."""
    named = made.get("properties")
    if not isinstance(named, dict) or any(key in made for key in (*COMBINED, "additionalProperties", "minProperties")):
        return False
    return "patternProperties" not in made and all(key in named for key in _required(made))


def _adds(schema: Schema) -> bool:
    """Whether other schemas add to this one's properties, or several to one another's."""
    beside = any(key in schema for key in OF_PROPERTIES)
    combined = [key for key in COMBINED if key in schema]
    every = schema.get("allOf")
    return (beside and bool(combined)) or len(combined) > 1 or (isinstance(every, list) and len(every) > 1)


def _required(schema: Schema) -> list[str]:
    required = schema.get("required")
    return [key for key in required if isinstance(key, str)] if isinstance(required, list) else []


def _exclude_each_other(branches: list[Any]) -> bool:
    """By their types, or by constants of a property that all of them require."""
    if not all(isinstance(branch, dict) for branch in branches):
        return False
    types = [branch.get("type") for branch in branches]
    if all(isinstance(one, str) and one in TYPES_APART for one in types) and len(set(types)) == len(types):
        return True
    told = [_constants(branch) for branch in branches]
    common = set(told[0]).intersection(*told[1:]) if told else set()
    return any(len({one[key] for one in told}) == len(told) for key in common)


def _constants(branch: Schema) -> dict[str, str]:
    """Of the properties that are required."""
    properties = branch.get("properties")
    found = {key: properties.get(key) for key in _required(branch)} if isinstance(properties, dict) else {}
    return {key: repr(one["const"]) for key, one in found.items() if isinstance(one, dict) and "const" in one}


def _nodes(schema: object) -> Iterator[Schema]:
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def _escaped(name: str) -> str:
    short = name if len(name) <= 40 else name[:39] + "…"
    return short.replace("~", "~0").replace("/", "~1")
