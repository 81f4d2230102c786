"""Every finished answer fits its schema, or the schema is refused by where it stands: random answers, no model."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from mavis_core.grammar.compiler import start

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Schema = Any
NAMES = ("ab", "cb", "a", "x-é", 'q"\\\n', "d/~")
PATTERNS = ("^a", ".*", "^[a-z]+$", "b$", "^(ab|cb)$", "^[^b]*$", "^x-", "^a$")
BOUNDS = (-3, 0, 1, 2, 2.5, 10, 0.1, 9007199254740993)
DATA: tuple[Any, ...] = (1, -2.5, "ab", "é\n", None, True, [1, "x"], {"ab": 1}, {}, 12345678901234567890, "\x01", 0.1)


@cache
def vocabulary() -> LLTokenizer:
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


def accepts(kind: Any, source: str, text: str) -> bool:
    """Whether ``text`` is a whole answer."""
    matcher = start(vocabulary(), Structure(kind, source))
    return all(map(matcher.consume_token, text.encode())) and matcher.is_accepting()


def draw_answer(matcher: LLMatcher, rng: random.Random, most: int = 120) -> bytes | None:
    """A finished answer, or None where it became too long; an answer that cannot go on fails the test."""
    answer = bytearray()
    while not (matcher.is_accepting() and (matcher.is_stopped() or rng.random() < 0.5)):
        bits = matcher.compute_bitmask()
        allowed = [token for token in range(256) if bits[token >> 3] >> (token & 7) & 1]
        assert allowed or matcher.is_accepting(), f"nothing can follow {bytes(answer)!r}"
        if not allowed:
            break
        if len(answer) > most:
            return None
        ends = [token for token in allowed if token in b'"}],']
        plain = [token for token in allowed if token < 128]
        if ends and rng.random() < (0.4 if len(answer) < most // 2 else 0.95):
            allowed = ends
        elif ord("\\") in allowed and rng.random() < 0.2:
            allowed = [ord("\\")]
        elif plain and rng.random() < 0.9:
            allowed = plain
        token = rng.choice(allowed)
        assert matcher.consume_token(token), matcher.get_error()
        answer.append(token)
    return bytes(answer)


def parsed(source: str | bytes) -> Any:
    return json.loads(source, parse_float=Decimal)


def _multiple(validator: Any, step: Any, value: Any, schema: Any) -> Any:
    """jsonschema's own takes remainders of floats."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool) and Fraction(value) % Fraction(step):
        yield jsonschema.ValidationError(f"{value} is not a multiple of {step}")


def faults(schema: Schema, answer: bytes) -> list[str]:
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    validator = jsonschema.validators.extend(kind, {"multipleOf": _multiple})(parsed(json.dumps(schema)))
    return [error.message for error in validator.iter_errors(parsed(answer))]


def finished(schema: Schema, rng: random.Random, walks: int) -> int | None:
    """How many answers were, each of which fits; None where the schema is refused."""
    try:
        first = start(vocabulary(), Structure("json_schema", json.dumps(schema)))
    except InvalidRequestError:
        return None
    count = 0
    for _ in range(walks):
        answer = draw_answer(first.deep_copy(), rng)
        if answer is not None:
            assert not faults(schema, answer), (json.dumps(schema), answer)
            count += 1
    return count


def some(rng: random.Random, choices: dict[str, Callable[[], Any]], chance: float = 0.3) -> Schema:
    picked = [(key, make()) for key, make in choices.items() if rng.random() < chance]
    rng.shuffle(picked)
    return dict(picked)


def draw_schema(rng: random.Random, depth: int = 2) -> Schema:
    def inner() -> Schema:
        return draw_schema(rng, depth - 1)

    def several() -> list[Schema]:
        return [inner() for _ in range(rng.randint(1, 3))]

    def small() -> int:
        return rng.randint(0, 3)

    kind = rng.choice(["string", "number", "integer", "object", "object", "array", "data", "combined", "any"])
    if depth < 0 or kind == "any":
        return rng.choice([{}, True, False, {"type": rng.choice(["null", "boolean", "string", "integer"])}])
    if kind == "string":
        return {"type": "string"} | some(
            rng,
            {
                "minLength": small,
                "maxLength": small,
                "pattern": lambda: rng.choice(PATTERNS),
                "format": lambda: rng.choice(["date", "uuid", "email", "ipv4", "regex"]),
            },
        )
    if kind in ("number", "integer"):
        bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        return {"type": kind} | some(
            rng,
            {key: lambda: rng.choice(BOUNDS) for key in bounds}
            | {"multipleOf": lambda: rng.choice([1, 2, 3, 0.5, 2.5, 0.1])},
        )
    if kind == "data":
        return rng.choice([{"const": rng.choice(DATA)}, {"enum": rng.sample(DATA, 3)}])
    if kind == "array":
        return {"type": "array"} | some(
            rng,
            {
                "items": inner,
                "prefixItems": several,
                "additionalItems": inner,
                "minItems": small,
                "maxItems": small,
                "uniqueItems": lambda: True,
                "contains": inner,
                "unevaluatedItems": lambda: False,
            },
            0.2,
        )
    if kind == "object":
        return (
            {"type": "object"}
            | some(
                rng,
                {
                    "properties": lambda: {name: inner() for name in rng.sample(NAMES, rng.randint(1, 3))},
                    "patternProperties": lambda: {rng.choice(PATTERNS): inner()},
                    "additionalProperties": inner,
                    "required": lambda: rng.sample(NAMES, rng.randint(1, 2)),
                    "minProperties": small,
                    "maxProperties": small,
                },
                0.4,
            )
            | some(
                rng,
                {
                    "propertyNames": inner,
                    "dependentRequired": lambda: {"ab": ["cb"]},
                    "unevaluatedProperties": lambda: False,
                },
                0.03,
            )
        )
    return some(rng, {"anyOf": several, "allOf": several, "oneOf": several}, 0.4) | some(
        rng, {"not": inner, "if": inner, "then": inner}, 0.05
    )


@pytest.mark.parametrize("seed", range(4))
def test_random_answers_to_random_schemas_fit(seed: int) -> None:
    rng = random.Random(seed)
    counts = [finished(draw_schema(rng), rng, walks=4) for _ in range(60)]
    assert sum(filter(None, counts)) > 40, "most of them are not refused, and most answers end"


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"properties": {"a": {"type": "object", "minProperties": 2}}}, "#/properties/a/minProperties: 2"),
        ({"additionalProperties": {"type": "integer"}, "minProperties": 3, "required": ["a"]}, "#/minProperties: 3"),
        ({"properties": {"ab": {}}, "patternProperties": {"^ab$": {}}}, "#/patternProperties/^ab$: matches nothing"),
        ({"items": {"patternProperties": {"/~": {}, "": False}}}, "#/items/patternProperties/: false for every key"),
        ({"prefixItems": [{}], "additionalItems": {}}, "#/additionalItems"),
        ({"$defs": {"n": {"const": 12345678901234567890}}, "$ref": "#/$defs/n"}, "#/$defs/n/const: 1234"),
        ({"anyOf": [{"enum": [0, {"a": [0.12345678901234567890123]}]}]}, "#/anyOf/0/enum/1/a/0"),
        ({"type": "integer", "minimum": 9007199254740993}, "#/minimum"),
        ({"const": "\x01"}, "#/const: holds the control character U+0001"),
        ({"type": "integer", "minimum": 1, "maximum": 5, "multipleOf": 7}, "#/multipleOf"),
        ({"properties": {"a": {"items": {"not": {}}}}}, "Unimplemented keys … at #/properties/a/items"),
    ],
)
def test_what_cannot_be_held_to_is_refused_by_name(schema: Schema, told: str) -> None:
    source = json.dumps(schema).replace("0.12345678901234568", "0.12345678901234567890123")
    with pytest.raises(InvalidRequestError) as refused:
        start(vocabulary(), Structure("json_schema", source))
    assert refused.value.param == "structure"
    assert all(part in str(refused.value) for part in told.split(" … "))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "minProperties": 1},
        {"type": "object", "required": ["a"], "minProperties": 2},
        {"properties": {"a": {}}, "required": ["a"], "additionalProperties": False, "minProperties": 1},
        {"type": "object", "properties": {"ab": {"type": "integer"}}, "patternProperties": {"^a": {"minimum": 0}}},
        {"const": 9007199254740992},
        {"type": "number", "multipleOf": 0.1},
    ],
)
def test_what_can_be_is_not_refused(schema: Schema) -> None:
    assert finished(schema, random.Random(1), walks=8)


def test_a_key_cannot_be_written_in_another_way() -> None:
    """Else it would pass for one that is not named, and what it holds for anything."""
    source = '{"type": "object", "properties": {"a": {"type": "integer"}}}'
    assert accepts("json_schema", source, '{"a":1,"b":"x"}')
    assert not accepts("json_schema", source, '{"a":1,"\\u0061":"x"}')
    assert not accepts("grammar", f"start: %json {source}", '{"a":1,"\\u0061":"x"}')
