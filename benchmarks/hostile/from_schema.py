"""Hostile by the OpenAPI document: a small valid request of each endpoint with a few fields made wrong or extreme."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from benchmarks.hostile.attack import CHAT, USER, Attack, dump, http

VALID: dict[str, dict[str, Any]] = {
    CHAT: {"messages": USER, "max_tokens": 3, "seed": 1},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 3, "seed": 1},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 3},
    "/tokenize": {"prompt": "Hello"},
    "/detokenize": {"tokens": [1, 2]},
}
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, -(2**63), 2**64, 10**300, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"),
    "", "a", "\x00", "\ud83d", "💩" * 50, "x" * 20_000, "null", "../..", [], [[]], [None], [0] * 3000, ["a"] * 300,
    {}, {"a": 1}, {"type": "x"}, {"": {}}, {"__proto__": {}},
)  # fmt: skip


def from_schema(document: dict[str, Any], rng: random.Random) -> Iterator[Attack]:
    """Without end: every field of every generating endpoint, one to three at a time.

    Args:
        document: the server's OpenAPI document.
        rng: the same numbers give the same requests.
    """
    while True:
        path = rng.choice(list(VALID))
        schema = _resolve(
            document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"], document
        )
        body = dict(VALID[path])
        names = sorted(schema["properties"])
        for field in rng.sample(names, min(len(names), rng.choice((1, 1, 2, 3)))):
            near = rng.random() < 0.6
            body[field] = _like(schema["properties"][field], document, rng) if near else rng.choice(WRONG)
        if rng.random() < 0.03:
            body[rng.choice(("temprature", "x" * 5000, "", "\ud800", "__class__"))] = rng.choice(WRONG)
        if rng.random() < 0.03:
            body.pop(rng.choice(sorted(body)))
        yield http(f"schema: {path}", path, dump(body))


def _like(schema: dict[str, Any], document: dict[str, Any], rng: random.Random, depth: int = 0) -> Any:
    """A value of the form that the schema describes, at or beyond its bounds, with one part in ten wrong."""
    schema = _resolve(schema, document)
    if depth > 5 or rng.random() < 0.1:
        return rng.choice(WRONG)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _like(rng.choice(options), document, rng, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    low, high = schema.get("minimum", schema.get("exclusiveMinimum", -2)), schema.get("maximum", 2**31)
    match schema.get("type"):
        case "integer":
            return rng.choice((low - 1, low, low + 1, high, high + 1))
        case "number":
            return rng.choice((low, low - 1e-9, high, high + 1e-9, (low + high) / 2))
        case "string":
            return rng.choice(("", "a", "cheerful", "\u0000", "é" * 300, "\udfff"))
        case "boolean":
            return rng.random() < 0.5
        case "array":
            items = schema.get("items", {})
            return [_like(items, document, rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 17)))]
        case "object":
            return _object(schema, document, rng, depth)
    return rng.choice(WRONG)


def _object(schema: dict[str, Any], document: dict[str, Any], rng: random.Random, depth: int) -> dict[str, Any]:
    fields = schema.get("properties", {})
    chosen = [name for name in fields if name in schema.get("required", ()) or rng.random() < 0.4]
    found = {name: _like(fields[name], document, rng, depth + 1) for name in chosen}
    if isinstance(more := schema.get("additionalProperties"), dict):
        names = ("cheerful", "concise", "1", "", "x")
        found |= {name: _like(more, document, rng, depth + 1) for name in rng.sample(names, 2)}
    return found


def _resolve(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        node: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        schema = node
    return schema
