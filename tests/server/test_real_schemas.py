"""Tools as real programs send them: none costs the request, unless it is strict; answers fit what is held to."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import MAX_STRUCTURE_LENGTH, Structure, param_of_schemas, schemas_at_fault
from mavis_core.grammar.compiler import start
from scripts.compat.schemas.__main__ import kinds
from scripts.compat.schemas.lacking import NAMED
from server.http.left_out import HEADER
from server.tools.formats.hermes import HERMES
from server.tools.grammar import constraint_of
from server.tools.held import held
from server.tools.use import Constraint, Function, ToolUse
from tests.mavis_core.grammar.test_schema_promises import draw_answer, vocabulary
from tests.models import save_byte_llama
from tests.server.fake_engine import FakeEngine
from tests.server.real_engine import served
from tests.server.test_requests import CHAT, ask, error_of

BY_HAND = {
    f"{kind}: {name}": schema for kind, tools in kinds().items() if kind != "lacking" for name, schema in tools.items()
}
AT = "tools[{}].function.parameters"
LARGE = {
    "type": "object",
    "properties": {f"key{i}": {"enum": [f"value {i}-{j}" for j in range(9)]} for i in range(200)},
}
SMALL = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}


def test_there_are_enough() -> None:
    assert len(BY_HAND) >= 75
    assert sum(map(len, kinds().values())) >= 275


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_held_to_is_followed(name: str) -> None:
    """Either it can be compiled, and answers fit; or it is let go as a whole, which only odd ones are."""
    schema = {"type": "object", **BY_HAND[name]} if BY_HAND[name].get("type") is None else BY_HAND[name]
    made, _ = held(schema, False, "at")
    try:
        matcher = start(vocabulary(), Structure("json_schema", json.dumps(made)))
    except InvalidRequestError:
        assert name.startswith("odd: ")
        return
    rng = random.Random(name)
    plain = {key: value for key, value in made.items() if key not in ("$schema", "$id")}
    for _ in range(2):
        answer = draw_answer(matcher.deep_copy(), rng, most=60)
        if answer is not None:
            jsonschema.Draft202012Validator(plain).validate(json.loads(answer))


def tool(number: int, schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": f"t{number}", "parameters": schema, **more}}


def constraint(*tools: Function, mode: Any = "auto", answer: Constraint | None = None) -> Constraint:
    placed = [replace(tool, at=f"tools[{i}].function") for i, tool in enumerate(tools)]
    made = constraint_of(ToolUse.of(placed, mode, None, None), answer, HERMES, {})
    assert made is not None
    return made


def refusal(*numbers: int) -> InvalidRequestError:
    return InvalidRequestError("structure: no", param_of_schemas(numbers) if numbers else "structure")


def test_who_is_at_fault_is_let_go() -> None:
    whole = constraint(Function("a", None, SMALL), Function("b", None, LARGE), Function("c", None, SMALL))
    assert (whole.relaxed, whole.structure.source.count('"a":{"type":"boolean"}')) == ((), 2)
    assert whole.looser is not None
    less = whole.looser(refusal(0, 1))
    assert less.relaxed == (AT.format(0), AT.format(1))
    assert less.structure.source.count('"a":{"type":"boolean"}') == 1 and "key0" not in less.structure.source


def test_the_largest_is_let_go_where_nobody_is_at_fault() -> None:
    tools = [Function(name, None, schema) for name, schema in zip("abcd", (SMALL, LARGE, NAMED, {}), strict=True)]
    made, gone = constraint(*tools), []
    for _ in range(3):
        assert made.looser is not None
        made = made.looser(refusal())
        gone.append(made.relaxed)
    one, two = (AT.format(1),), (AT.format(1), AT.format(2))
    assert gone == [one, two, tuple(AT.format(i) for i in range(4))]
    assert made.looser is not None
    with pytest.raises(InvalidRequestError, match="tools: no"):
        made.looser(refusal())


def test_what_is_strict_stays() -> None:
    made = constraint(Function("a", None, SMALL, strict=True), Function("b", None, LARGE))
    assert made.looser is not None
    with pytest.raises(InvalidRequestError) as refused:
        made.looser(refusal(0))
    assert refused.value.param == AT.format(0)
    assert made.looser(refusal()).relaxed == (AT.format(1),)


def test_an_answer_beside_them_keeps_its_schema() -> None:
    answer = Constraint(Structure("json_schema", json.dumps(NAMED)), "response_format")
    made = constraint(Function("a", None, SMALL), Function("b", None, LARGE), answer=answer)
    assert made.looser is not None
    assert made.looser(refusal(2)).relaxed == (AT.format(1),)
    with pytest.raises(InvalidRequestError, match="response_format: no"):
        made.looser(refusal(0))


def test_many_large_tools_fit_into_one_grammar() -> None:
    """By size the largest go first; descriptions, which are most of what tools are made of, count nothing."""
    wordy = {"a": {"type": "boolean", "description": "x" * 9_000, "examples": ["y" * 999], "title": "z"}}
    talking = [Function(f"w{i}", None, {"properties": wordy, "required": ["a"]}) for i in range(60)]
    assert constraint(*talking).relaxed == ()
    made = constraint(*talking, *(Function(f"l{i}", None, LARGE) for i in range(3)), Function("s", None, SMALL))
    assert 1 <= len(made.relaxed) < 3 and set(made.relaxed) <= {AT.format(60 + i) for i in range(3)}
    assert len(made.structure.source) <= MAX_STRUCTURE_LENGTH
    with pytest.raises(InvalidRequestError) as refused:
        constraint(*(Function(f"l{i}", None, LARGE, strict=True) for i in range(3)))
    assert refused.value.param == "tools"


def test_the_compiler_names_the_schemas_at_fault() -> None:
    lark = 'start: "(" a b c ")"\na: %json {"type": "boolean"}\nb: %json {"enum": []}\nc: %json {"type": "int"}'
    with pytest.raises(InvalidRequestError) as refused:
        start(vocabulary(), Structure("grammar", lark))
    assert schemas_at_fault(refused.value.param) == {1, 2}
    assert str(refused.value).startswith("structure: grammar: schema 1: ")
    with pytest.raises(InvalidRequestError) as other:
        start(vocabulary(), Structure("grammar", 'start: a b\na: %json {"type": "boolean"}'))
    assert other.value.param == "structure"


async def test_one_bad_tool_does_not_cost_the_turn(tmp_path: Path) -> None:
    """The engine itself refuses these schemas; each takes only its own constraint along, and the answer says so."""
    save_byte_llama(tmp_path)
    odd = list(kinds()["odd"].items())
    bad = [schema for name, schema in odd if name in ("broken_pattern", "no_value_is_left", "unknown_type")]
    tools = [tool(0, SMALL), *(tool(i + 1, schema) for i, schema in enumerate(bad))]
    template = tmp_path / "untold.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}{% for t in tools %}{{ t.function.name }}{% endfor %}",
        encoding="utf-8",
    )
    async with served(model=str(tmp_path), chat_template=template) as client:
        asked: dict[str, Any] = {"tool_choice": "required", "max_tokens": 30, "guidance": {"report_ignored": True}}
        for path, stream in ((CHAT, False), (CHAT, True)):
            response = await ask(client, path, tools=tools, stream=stream, **asked)
            assert response.status_code == 200, response.text
            assert [AT.format(i) for i in range(1, 4)] == response.headers[HEADER].split(", ")
        assert '"ignored":["tools[1].function.parameters"' in response.text
        named = {"type": "function", "function": {"name": "t1"}}
        response = await ask(client, tools=tools, **asked | {"tool_choice": named})
        assert response.headers[HEADER] == AT.format(1)
        error = error_of(await ask(client, tools=[tool(0, SMALL), tool(1, bad[0], strict=True)], **asked))
        assert error["param"] == AT.format(1)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("object", None), (["object", "null"], None), ("string", "/type"), ([], "/type"), (None, "/type")],
)
async def test_a_type_that_is_no_object(client: httpx.AsyncClient, engine: FakeEngine, kind: Any, told: str) -> None:
    response = await ask(client, tools=[tool(0, {"type": kind})], tool_choice="required")
    assert response.status_code == 200, response.text
    assert response.headers.get(HEADER) == (told and AT.format(0) + told)
    structure = engine.requests[0].sampling.structure
    assert structure is not None and '%json {"type":"object"' in structure.source


@pytest.mark.parametrize(
    ("ref", "leads"),
    [("#", True), ("#/$defs/a~1b%20c", True), ("#/prefixItems/1", True), ("#/$defs/x", False), ("#a", False),
     ("https://example.com/a.json", False), (3, False), ("#/prefixItems/2", False), ("#/title", False),
     ("#/properties/x", False), ("#/$defs/round", False)],
)  # fmt: skip
def test_references_that_lead_nowhere(ref: Any, leads: bool) -> None:
    schema = {
        "title": "t",
        "$defs": {"a/b c": {}, "round": {"$ref": "#/$defs/round"}},
        "prefixItems": [{}, True],
        "properties": {"x": {"$ref": ref}},
    }
    made, dropped = held(schema, False, "at")
    assert ("at/properties/x/$ref" in dropped) != leads
    assert made["properties"]["x"] == ({"$ref": ref} if leads else {})


def test_many_references_are_followed_a_few_steps_only() -> None:
    chain = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(20_000)} | {"d20000": {"type": "boolean"}}
    schema = {"properties": {"x": {"$ref": "#/$defs/d19990"}, "y": {"$ref": "#/$defs/d0"}}, "$defs": chain}
    made, dropped = held(schema, False, "at")
    assert (made["properties"]["x"], made["properties"]["y"]) == ({"$ref": "#/$defs/d19990"}, {})
    assert len(dropped) > 19_000
    assert held({"$ref": "#/anyOf/" + "9" * 5000, "anyOf": [{}]}, False, "at")[1] == ["at/$ref"]


@pytest.mark.parametrize(
    "nothing",
    [{"propertyNames": {"type": "string"}}, {"propertyNames": {}}, {"propertyNames": True}, {"uniqueItems": False},
     {"unevaluatedProperties": True}, {"unevaluatedItems": True}, {"dependentRequired": {}}, {"dependentSchemas": {}}],
)  # fmt: skip
def test_what_says_nothing_is_taken_even_of_a_strict_schema(nothing: Any) -> None:
    record = {"type": "object", "additionalProperties": {"type": "number"}}
    assert held(record | nothing, True, "at") == (record, [])


def test_a_record_of_named_keys_is_an_object() -> None:
    """As zod writes one; nothing is left out, so that a strict one is taken, too."""
    record = {"type": "object", "propertyNames": {"type": "string", "enum": ["a", "b"]}, "required": ["a"]}
    number = {"type": "number"}
    made, dropped = held(record | {"additionalProperties": number}, True, "at")
    whole = {
        "type": "object",
        "properties": {"a": number, "b": number},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert (made, dropped) == (whole, [])
    others: list[dict[str, Any]] = [
        {"properties": {"a": {}}},
        {"required": ["c"]},
        {"maxProperties": 1},
        {"allOf": [{}]},
    ]
    for beside in others:
        assert "at/propertyNames" in held(record | beside, False, "at")[1]
    for _ in range(30):
        record = {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": record}
    made, dropped = held(record, False, "at")
    assert len(dropped) == 30 and len(json.dumps(made)) < 3000


def test_words_are_not_constraints() -> None:
    schema = {"title": "t", "description": "d", "properties": {"title": {"default": 1, "const": {"title": 1}}}}
    made, dropped = held(schema, False, "at")
    assert not dropped
    assert made == {"properties": {"title": {"const": {"title": 1}}}, "additionalProperties": False}
