"""What structures mean once compiled, what is refused, and that hostile ones end soon and harmlessly."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from mavis_core.grammar.compiler import GrammarCompiler
from tests.models import byte_tokenizer
from tests.structures import BYTE_EOS, accepts, matcher

PERSON = {
    "$defs": {"name": {"type": "string", "minLength": 1, "maxLength": 4, "pattern": "^[a-z]+$"}},
    "type": "object",
    "properties": {"name": {"$ref": "#/$defs/name"}, "age": {"type": "integer", "minimum": 0, "maximum": 130}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("kind", "source", "whole", "other"),
    [
        ("regex", "[a-c]{2,3}", ["ab", "abc"], ["a", "abcd", "xy", ""]),
        ("choice", '["yes", "no", "é😀\\n\\"q\\" \\\\"]', ["yes", "no", 'é😀\n"q" \\'], ["ye", "yesno", ""]),
        (
            "json_schema",
            json.dumps(PERSON),
            ['{"name":"bo"}', '{"name":"bo","age":7}'],
            ['{"age":7}', '{"name": "bo"}'],
        ),
        ("json_schema", json.dumps(PERSON), [], ['{"name":"bob-e"}', '{"name":"abcde"}', '{"name":"bo","age":131}']),
        ("json_schema", '{"anyOf": [{"const": 3}, {"enum": ["x", null]}]}', ["3", '"x"', "null"], ["4", '"y"']),
        ("json_schema", '{"oneOf": [{"type": "boolean"}, {"type": "null"}]}', ["true", "null"], ["1"]),
        ("json_schema", '{"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 3}', ["[1,1]"], ["[1]"]),
        ("json_schema", '{"type": "object"}', ["{}", '{"a":[1,{"b":null}]}'], ["[]", "{", '{"a":1,}']),
        ("json_schema", "true", ["1", '"x"', "[true]"], ["", "x"]),
        ("json_schema", '{"x-guidance": {"whitespace_flexible": true}, "const": [1, 2]}', ["[1, 2]", "[1,2]"], ["[1]"]),
        ("grammar", 'start: "a" rest\nrest: /[0-9]+/ | "b" rest', ["a1", "ab23"], ["a", "b1"]),
        (
            "grammar",
            'root ::= "a" [0-9]+ | tail\ntail ::= "x"{2,3} | "(" tail ")"',
            ["a12", "xx", "(xxx)"],
            ["x", "(xx"],
        ),
        ("grammar", 'start: "v=" %json {"type": "integer", "maximum": 3}', ["v=3", "v=-1"], ["v=4"]),
        ("grammar", 'start: "%json {}" /%json . / %json {"const": "/"} // %json {}', ['%json {}%json . "/"'], ['""']),
    ],
)
def test_what_they_accept(kind: str, source: str, whole: list[str], other: list[str]) -> None:
    assert [text for text in whole if not accepts(kind, source, text)] == []
    assert [text for text in other if accepts(kind, source, text)] == []


@pytest.mark.parametrize(
    ("kind", "source", "message"),
    [
        ("regex", "(a", "unclosed group"),
        ("regex", "(?=a)b", "look-around"),
        ("regex", r"(a)\1", "backreferences"),
        ("json_schema", '{"type": "foo"}', "Invalid type: foo"),
        ("json_schema", '{"not": {}}', "Unimplemented keys"),
        ("json_schema", '{"type": "array", "uniqueItems": true}', "uniqueItems"),
        ("json_schema", '{"allOf": [false]}', "schema is false"),
        ("json_schema", '{"type": "integer", "minimum": 3, "maximum": 2}', "minimum"),
        ("json_schema", '{"oneOf": [{"type": "number"}, {"type": "integer"}]}', "oneOf"),
        ("json_schema", '{"$ref": "http://example.com/x"}', "not present|does not fetch"),
        ("json_schema", '{"$ref": "#"}', "no answer can fit it"),
        ("json_schema", '{"x-guidance": {"whitespace_flexible": 7}}', "json_schema: "),
        ("grammar", "nonsense", "grammar: "),
        ("grammar", "start: start", "no answer can fit it"),
        ("grammar", 'root ::= "a', "as GBNF"),
        ("grammar", "root ::= missing", "Rule 'missing' not found"),
        ("grammar", "root ::= " + "(" * 20_000, "as GBNF"),
    ],
)
def test_refused_with_the_librarys_reason(kind: str, source: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as refused:
        matcher(kind, source)
    assert refused.value.param == "structure"
    assert len(str(refused.value)) < 400 and "\n" not in str(refused.value)


def test_every_character_works_in_a_choice() -> None:
    characters = [chr(code) for code in (*range(0x300), 0x2028, 0xFEFF, 0xFFFF, 0x1F600, 0x10FFFF)]
    whole = matcher("choice", json.dumps([*characters, "".join(characters), ""]))
    for text in (*characters, "".join(characters), ""):
        found = whole.copy()
        for byte in text.encode():
            assert found.accepts(byte), text
            found.advance(byte)
        assert found.complete


def chain(start: str, link: str, end: str, count: int) -> str:
    return start + "".join(link.format(i, i + 1) for i in range(count)) + end.format(count)


def schema(node: Any) -> str:
    return json.dumps({"$defs": {f"d{i}": node(i + 1) for i in range(900)} | {"d900": {}}, "$ref": "#/$defs/d0"})


HOSTILE: list[tuple[str, str]] = [
    ("regex", "(a+)+b"),
    ("regex", "(x+x+)+y"),
    ("regex", "(.*a){20}b"),
    ("regex", "a{1000000000}"),
    ("regex", "((a{100}){100}){100}"),
    ("regex", "(.*a.{20}|.*b.{21}|.*c.{22})x"),
    ("regex", "a?" * 4000),
    ("regex", "(" * 30_000),
    ("regex", "|".join(f"(.*{chr(97 + i % 26)}.{{{i}}})" for i in range(400))),
    ("json_schema", '{"type": "array", "minItems": 1000000000}'),
    ("json_schema", '{"type": "string", "minLength": 1000000000}'),
    ("json_schema", '{"type": "integer", "multipleOf": 99730000}'),
    ("json_schema", '{"allOf": [{"type": "integer", "multipleOf": 1009}, {"multipleOf": 1013}]}'),
    ("json_schema", '{"multipleOf": ' + "9" * 4000 + "}"),
    ("json_schema", '{"minimum": 1e999999}'),
    ("json_schema", '{"items":' * 500 + "{}" + "}" * 500),
    ("json_schema", json.dumps({"properties": {f"p{i}": {} for i in range(2000)}})),
    (
        "json_schema",
        json.dumps({"allOf": [{"anyOf": [{"required": [f"p{i}{j}"]} for j in range(4)]} for i in range(9)]}),
    ),
    ("json_schema", schema(lambda i: {"type": "array", "items": {"$ref": f"#/$defs/d{i}"}})),
    ("json_schema", schema(lambda i: {"anyOf": [{"$ref": f"#/$defs/d{i}"}, {"type": "null"}]})),
    ("grammar", "start: s\ns: s s | s s s | /a/ | /a+/"),
    ("grammar", 'start: "a"{1000000000}'),
    ("grammar", 'start: %json {"type": "integer", "multipleOf": 1000003}'),
    ("grammar", chain("start: a0\n", 'a{}: "x" a{}\n', 'a{}: "y"', 3600)),
    ("grammar", chain("start: A0\n", 'A{}: "x" A{}\n', 'A{}: "y"', 3600)),
    ("grammar", chain("start: a0\n", 'a{}: "x" | a{}\n', 'a{}: "y"', 3400)),
]


@pytest.mark.parametrize(("kind", "source"), HOSTILE, ids=[f"{kind}-{source[:20]}" for kind, source in HOSTILE])
def test_hostile_ones_end_soon(kind: str, source: str) -> None:
    """Refused, or served in steps that are short, or ended with an error: never long, never a crash.

    The aim is 0.2 s a step; the bounds here leave room for a busy machine.
    """
    started = time.monotonic()
    try:
        found = matcher(kind, source)
    except InvalidRequestError:
        assert time.monotonic() - started < 10
        return
    assert time.monotonic() - started < 10
    for _ in range(60):
        started = time.monotonic()
        bits = found.allowed((BYTE_EOS,), True)
        token = next(8 * i + (byte & -byte).bit_length() - 1 for i, byte in reversed(list(enumerate(bits))) if byte)
        if found.error is None and not found.ended:
            found.advance(token)
        assert time.monotonic() - started < 2
        if found.error is not None or found.ended or found.exhausted:
            return


def test_without_a_tokenizer_or_with_too_small_a_vocabulary() -> None:
    structure = Structure("regex", "a")
    with pytest.raises(InvalidRequestError, match="this engine has no tokenizer"):
        GrammarCompiler(None, 61, ()).compile(structure)
    with pytest.raises(InvalidRequestError, match="not with this model's tokenizer"):
        GrammarCompiler(byte_tokenizer(), 61, (2,)).compile(structure)


def test_one_answers_lexer_is_not_anothers() -> None:
    """Copies of a matcher share their lexer and its errors; matchers of two requests do not."""
    first = matcher("regex", "a{1000000000}")
    second = matcher("regex", "a{1000000000}")
    first.advance(ord("a"))
    assert first.error is not None
    second.allowed((BYTE_EOS,), False)
    assert second.error is None
