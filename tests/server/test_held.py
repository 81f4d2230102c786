"""Schemas that real tools send: none is refused unless strict, answers fit what is held to, objects are closed."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from mavis_core.grammar.compiler import start
from scripts.compat.schemas.lacking import LACKED, NAMED, TEXT, places
from server.http.left_out import HEADER
from server.tools.held import held
from tests.mavis_core.grammar.test_schema_promises import (
    Schema,
    draw_answer,
    draw_schema,
    faults,
    finished,
    vocabulary,
)
from tests.server.conftest import USER, app_client
from tests.server.fake_engine import FakeEngine
from tests.server.test_requests import ask, error_of


@pytest.mark.parametrize("number", range(len(LACKED)))
def test_none_is_refused(number: int) -> None:
    """20 kinds in 10 places; answers fit what is held to of the schema, which says less than it and closes objects."""
    rng = random.Random(number)
    for schema in places(LACKED[number]):
        made, dropped = held(schema, False, "at")
        assert dropped, schema
        assert finished(made, rng, walks=2) is not None, (schema, made)
        with pytest.raises(InvalidRequestError) as refused:
            held(schema, True, "at")
        assert refused.value.param == "at" and str(refused.value).startswith(f"at: #{dropped[0][2:]}: ")


def test_random_schemas_are_held_to_as_far_as_it_goes() -> None:
    """Where nothing is left out, every answer fits what the client sent."""
    rng, whole = random.Random(1), 0
    for _ in range(80):
        schema = draw_schema(rng)
        if not isinstance(schema, dict):
            continue
        made, dropped = held(schema, False, "at")
        if dropped or finished(made, rng, walks=0) is None:
            continue
        matcher = start(vocabulary(), Structure("json_schema", json.dumps(made)))
        for answer in filter(None, (draw_answer(matcher.deep_copy(), rng) for _ in range(3))):
            assert not faults(schema, answer), (schema, answer)
            whole += 1
    assert whole > 60


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        (NAMED, True),
        ({"properties": {}}, True),
        ({"type": "object"}, False),
        (NAMED | {"additionalProperties": True}, False),
        (NAMED | {"additionalProperties": TEXT}, False),
        (NAMED | {"patternProperties": {"^x": TEXT}}, False),
        (NAMED | {"required": ["c"]}, False),
        (NAMED | {"allOf": [{"properties": {"c": TEXT}}]}, False),
        (NAMED | {"$ref": "#/$defs/d", "$defs": {"d": {"properties": {"c": TEXT}}}}, False),
    ],
)
def test_objects_that_name_their_properties_are_closed(schema: Schema, closed: bool) -> None:
    made, dropped = held(schema, False, "at")
    assert not dropped
    assert made == (schema | {"additionalProperties": False} if closed else schema)


def test_closing_leaves_an_answer() -> None:
    """Parts of one object are not closed against each other, here or in definitions; alternatives are, each alone."""
    both = {"allOf": [{"$ref": "#/$defs/d"}, {"properties": {"c": TEXT}, "required": ["c"]}], "$defs": {"d": NAMED}}
    either = {"anyOf": [NAMED, {"type": "object", "properties": {"c": TEXT}}]}
    assert held(both, False, "at")[0] == both
    assert [one["additionalProperties"] for one in held(either, False, "at")[0]["anyOf"]] == [False, False]
    assert finished(held(both, False, "at")[0], random.Random(1), walks=6)
    assert not faults(both, b'{"a": "x", "c": "y"}')
    one_of_two = {
        "type": "object",
        "required": ["a"],
        "anyOf": [{"properties": {"c": TEXT}}, {"properties": {"d": TEXT}}],
    }
    assert finished(held(one_of_two, False, "at")[0], random.Random(1), walks=6)
    only = {"properties": {"x": {"$ref": "#/$defs/d"}}, "$defs": {"d": NAMED}}
    assert held(only, False, "at")[0]["$defs"]["d"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"required": 3, "allOf": 1, "properties": {"a": 1}},
        {"required": [[]], "oneOf": [1, {}], "properties": {"a": {}}},
        {"format": [], "pattern": 3, "minProperties": "x", "oneOf": {}, "anyOf": 1, "$ref": 2},
        {"oneOf": [], "anyOf": []},
        {"oneOf": [{"required": [{}], "properties": 1}, {"type": []}]},
    ],
)
def test_nonsense_is_left_to_the_library(schema: Schema) -> None:
    assert json.dumps(held(schema, False, "at")[0])


def kind(name: str, **more: Any) -> Schema:
    return {"type": "object", "properties": {"kind": {"const": name}, **more}, "required": ["kind"]}


@pytest.mark.parametrize(
    ("branches", "apart"),
    [
        ([kind("a", x=TEXT), kind("b")], True),
        ([kind("a"), kind("a", x=TEXT)], False),
        ([kind("a"), NAMED], False),
        ([{"type": "string"}, {"type": "null"}], True),
        ([{"type": "number"}, {"type": "integer"}], False),
    ],
)
def test_branches_that_exclude_each_other_are_not_named(branches: list[Schema], apart: bool) -> None:
    made, dropped = held({"oneOf": branches}, False, "at")
    assert dropped == ([] if apart else ["at/oneOf"])
    assert len(made["anyOf"]) == len(branches)


def test_a_wide_schema_is_read_once() -> None:
    """Each branch's properties are looked at once: squared, these would be minutes."""
    many = [f"k{i}" for i in range(10_000)]
    wide = {"properties": {key: {"const": 1} for key in many}, "required": many}
    assert held({"oneOf": [wide, *({} for _ in range(10_000))]}, False, "at")[1] == ["at/oneOf"]


UNIQUE = {"type": "object", "properties": {"tags": {"type": "array", "items": TEXT, "uniqueItems": True}}}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": UNIQUE, **more}}


async def test_one_tool_among_others_does_not_cost_the_turn() -> None:
    engine = FakeEngine(max_model_len=4000)
    async with app_client(engine) as client:
        response = await ask(client, tools=[{"type": "function", "function": {"name": "a"}}, tool("b"), tool("c")])
        flat = {"type": "function", "name": "b", "parameters": UNIQUE}
        answer = await client.post("/v1/responses", json={"input": "hi", "tools": [flat]})
    at = "function.parameters/properties/tags/uniqueItems"
    assert response.headers[HEADER] == f"tools[1].{at}, tools[2].{at}"
    assert answer.headers[HEADER] == "tools[0].parameters/properties/tags/uniqueItems"
    structure = engine.requests[0].sampling.structure
    assert structure and "uniqueItems" not in structure.source and structure.source.count("additionalProperties") == 3
    assert b"uniqueItems" in bytes(engine.requests[0].prompt_token_ids), "the model is shown the schema as it came"


async def test_strict_is_refused_by_its_place(client: httpx.AsyncClient) -> None:
    error = error_of(await ask(client, tools=[tool("b"), tool("c", strict=True)]))
    assert error["param"] == "tools[1].function.parameters"
    place = "#/properties/tags/uniqueItems"
    assert error["message"] == f"tools[1].function.parameters: {place}: is not supported in a strict schema"
    for strict in (True, False, None):
        asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": UNIQUE, "strict": strict}}
        response = await client.post("/v1/chat/completions", json={"messages": USER, "response_format": asked})
        if strict:
            assert error_of(response)["param"] == "response_format.json_schema.schema"
        else:
            name = "response_format.json_schema.schema/properties/tags/uniqueItems"
            assert (response.status_code, response.headers[HEADER]) == (200, name)


async def test_schemas_as_text_are_read_too(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await ask(client, guided_json=json.dumps(UNIQUE))
    assert response.headers[HEADER] == "guided_json/properties/tags/uniqueItems"
    assert error_of(await ask(client, guided_json="{"))["param"] == "guided_json"
    assert error_of(await ask(client, guided_json='{"items":' * 2000 + "{}" + "}" * 2000))["param"] == "guided_json"
    deep = '{"items":' * 300 + "{}" + "}" * 300
    assert (await ask(client, guided_json=deep)).status_code == 200
    assert engine.requests[-1].sampling.structure and engine.requests[-1].sampling.structure.source == deep
