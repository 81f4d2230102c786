"""Hostile by logic: few short patterns whose intersection has a number of states that doubles with each of them.

``.*a1.*`` and ``.*a2.*`` and so on are a dozen states each; all of them at once must remember which have been seen,
2^k states. Written as JSON Schema's ``allOf``, nested, in each branch of ``anyOf``, and with Lark's ``&``.
"""

from __future__ import annotations

from typing import Any

from benchmarks.hostile.attack import CHAT, USER, Attack, dump, http

COUNTS = (8, 12, 16, 19, 22)


def parts(count: int) -> list[dict[str, Any]]:
    return [{"type": "string", "pattern": f".*a{i}.*"} for i in range(count)]


def schemas(count: int) -> dict[str, Any]:
    nested: dict[str, Any] = {"type": "string"}
    for part in parts(count):
        nested = {"allOf": [nested, part]}
    some = {"anyOf": [{"allOf": [*parts(count), {"pattern": f"^{letter}"}]} for letter in "pqrs"]}
    each = {"allOf": [{"anyOf": [part, {"type": "string", "minLength": i}]} for i, part in enumerate(parts(count))]}
    return {
        "allOf": {"allOf": parts(count)},
        "nested allOf": nested,
        "anyOf of allOf": some,
        "allOf of anyOf": each,
        "by $ref": {"allOf": [{"$ref": f"#/$defs/p{i}"} for i in range(count)],
                    "$defs": {f"p{i}": part for i, part in enumerate(parts(count))}},
        "in an object": {"type": "object", "properties": {"a": {"allOf": parts(count)}}, "required": ["a"]},
        "in an array": {"type": "array", "items": {"allOf": parts(count)}, "minItems": 3},
        "of names": {"type": "object", "patternProperties": {part["pattern"]: {} for part in parts(count)}},
    }  # fmt: skip


def grammars(count: int) -> dict[str, str]:
    patterns = [f"/(.|\\n)*a{i}(.|\\n)*/" for i in range(count)]
    return {
        "&": "start: A\nA: " + " & ".join(patterns),
        "& of terminals": "start: A\nA: " + " & ".join(f"P{i}" for i in range(count)) + "\n"
        + "\n".join(f"P{i}: {pattern}" for i, pattern in enumerate(patterns)),
        "& and ~": "start: A\nA: " + " & ".join(f"~{pattern}" for pattern in patterns),
    }  # fmt: skip


def asking(name: str, leave: float | None, **body: Any) -> Attack:
    return http(f"intersection: {name}", CHAT, dump({"messages": USER, "max_tokens": 20, **body}), leave=leave)


def intersections(counts: tuple[int, ...] = COUNTS) -> list[Attack]:
    """Each asked for once to the end, and once by a client that leaves at once."""
    found = []
    for count in counts:
        for leave in (None, 0.0):
            for name, schema in schemas(count).items():
                shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
                found.append(asking(name, leave, response_format=shape))
            for name, grammar in grammars(count).items():
                found.append(asking(name, leave, structured_outputs={"grammar": grammar}))
            tool = {"type": "function", "function": {"name": "f", "parameters": schemas(count)["in an object"]}}
            found.append(asking("in a tool", leave, tools=[tool], tool_choice="required"))
    return found
