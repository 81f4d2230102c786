"""Fields that nobody knows: the same answer as without them, and their names told; or refused by name."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx
import orjson
import pytest

from server.http.left_out import HEADER
from tests.server.conftest import app_client
from tests.server.fake_engine import FakeEngine
from tests.server.test_requests import error_of
from tests.server.tools import PARAMETERS

CHAT: dict[str, Any] = {
    "request_id": "r",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "be nice"}]},
        {"role": "user", "content": "weather?", "name": "Ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "rain"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
        {"type": "function", "function": {"name": "weather"}}
    ]}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    "objective_weights": {"cheerful": 1},
    "guidance": {"beta": 2},
    "max_tokens": 3,
    "logit_bias": {"3": 1},
}  # fmt: skip
TEXT: dict[str, Any] = {
    "request_id": "r",
    "prompt": ["a", "b"],
    "max_tokens": 3,
    "stream": True,
    "stream_options": {"include_usage": True},
    "structured_outputs": {"regex": "a+"},
    "objective_weights": {"cheerful": 1},
}
RESPONSES: dict[str, Any] = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "rain"},
    ],
    "tools": [{"type": "function", "name": "weather", "parameters": PARAMETERS}],
    "tool_choice": {"type": "function", "name": "weather"},
    "text": {"format": {"type": "text"}},
    "reasoning": {"effort": "low"},
    "max_output_tokens": 3,
}
MESSAGES: dict[str, Any] = {
    "max_tokens": 3,
    "system": [{"type": "text", "text": "be nice"}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "weather"}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "rain"}]}
        ]},
    ],
    "tools": [{"name": "weather", "input_schema": PARAMETERS}],
    "tool_choice": {"type": "tool", "name": "weather"},
    "thinking": {"type": "disabled"},
    "output_config": {"effort": "low"},
    "metadata": {"user_id": "u"},
    "guidance": {"beta": 2},
}  # fmt: skip
BODIES = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": TEXT,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
}
OURS = ("objective_weights", "objectives", "guidance")
FREE = (
    *OURS,
    "parameters",
    "input_schema",
    "schema",
    "logit_bias",
)  # whatever is in these is not ours to know, or ours alone


def places(value: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield at, value
        for key, inside in value.items():
            if key not in FREE:
                yield from places(inside, f"{at}.{key}" if at else key)
    elif isinstance(value, list):
        for i, inside in enumerate(value):
            yield from places(inside, f"{at}[{i}]")


def sprinkled(body: dict[str, Any], draw: random.Random) -> tuple[dict[str, Any], list[str]]:
    """The body with unknown keys at some of its levels, and where they are."""
    made, added = deepcopy(body), []
    for at, place in list(places(made)):
        if draw.random() < 0.4:
            key = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 12)))
            items = [*place.items(), (key, draw.choice([1, "x", True, [1], {"a": {"b": None}}, 0.5, [], {}]))]
            draw.shuffle(items)
            place.clear()
            place.update(items)
            added.append(f"{at}.{key}" if at else key)
    return made, added


def told(response: httpx.Response) -> str:
    """What is the same whenever it is asked."""
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line and line[:5] != "event"]
    return str([_without_ids(orjson.loads(line)) for line in lines if line != "[DONE]"])


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        changing = ("created", "created_at", "completed_at", "id", "item_id", "call_id", "tools", "tool_choice")
        return {key: _without_ids(inside) for key, inside in value.items() if key not in changing}
    return [_without_ids(inside) for inside in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", BODIES)
async def test_unknown_fields_change_nothing(path: str) -> None:
    engine = FakeEngine(max_model_len=4000)
    draw = random.Random(path)
    async with app_client(engine) as client:
        plain = await client.post(path, json=BODIES[path])
        assert plain.status_code == 200, plain.text
        assert HEADER not in plain.headers
        asked = [(request.prompt_token_ids, request.sampling, request.guidance) for request in engine.requests]
        for _ in range(25):
            body, added = sprinkled(BODIES[path], draw)
            engine.requests.clear()
            response = await client.post(path, json=body)
            assert response.status_code == 200, (response.text, added)
            assert told(response) == told(plain)
            assert [(r.prompt_token_ids, r.sampling, r.guidance) for r in engine.requests] == asked
            names = response.headers.get(HEADER, "").split(", ") if added else []
            assert sorted(names) == sorted({"".join(c for c in name if not c.isdigit()) for name in added})


def refusal(response: httpx.Response) -> dict[str, Any]:
    """Of any endpoint; Anthropic's errors have no ``param``."""
    assert response.status_code == 400
    error: dict[str, Any] = response.json()["error"]
    return error


@pytest.mark.parametrize("path", BODIES)
async def test_refuse_names_them(path: str) -> None:
    draw = random.Random(path)
    async with app_client(FakeEngine(max_model_len=4000), unknown_fields="refuse") as client:
        assert (await client.post(path, json=BODIES[path])).status_code == 200
        for _ in range(10):
            body, added = sprinkled(BODIES[path], draw)
            if added:
                error = refusal(await client.post(path, json=body))
                assert any(error["message"].startswith(f"unknown field {name!r}") for name in added)
                assert error.get("param", added[0]) in added
        misspelt = refusal(await client.post(path, json=BODIES[path] | {"temperatur": 1}))
        assert misspelt["message"] == "unknown field 'temperatur'; did you mean 'temperature'?"
        document = (await client.get("/openapi.json")).json()["components"]["schemas"]
        assert document["StreamOptions"]["additionalProperties"] is False


@pytest.mark.parametrize("at", [at for at, _ in places(CHAT)])
async def test_a_misspelt_steering_field_is_refused_anywhere(client: httpx.AsyncClient, at: str) -> None:
    body = deepcopy(CHAT)
    dict(places(body))[at]["objective_weigths"] = {"cheerful": 1}
    error = error_of(await client.post("/v1/chat/completions", json=body))
    assert error["param"] == (f"{at}.objective_weigths" if at else "objective_weigths")
    assert "did you mean 'objective_weights'" in error["message"]


@pytest.mark.parametrize("name", ["objectivs", "Objectives", "objective"])
async def test_objectives_in_words_are_ours_too(client: httpx.AsyncClient, name: str) -> None:
    error = error_of(await client.post("/v1/chat/completions", json=CHAT | {name: {"pirate": "Talk like a pirate."}}))
    assert error["message"] == f"unknown field {name!r}; did you mean 'objectives'?"


async def test_where_it_is_told(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    body = CHAT | {"max_tokens": 1, "response_format": None, "tool_choice": None, "parsed": None, "a,b\n": 1}
    body["guidance"] = {"report_ignored": True}
    body["chat_template_kwargs"] = {"mood": "calm", "moood": 1}
    body["messages"] = [{"role": "user", "content": "hi", "index": i} for i in range(3)]
    body["tools"] = []
    with caplog.at_level(logging.INFO, "server.http.left_out"):
        response = await client.post("/v1/chat/completions", json=body, headers={"x-request-id": "mine"})
    names = ["a%2Cb%0A", "messages[].index", "chat_template_kwargs.moood"]
    assert sorted(response.headers[HEADER].split(", ")) == sorted(names)
    assert sorted(response.json()["choices"][0]["guidance"]["ignored"]) == sorted(names)
    [record] = [record for record in caplog.records if "left out" in record.getMessage()]
    assert record.getMessage() == f"request mine: left out {response.headers[HEADER]}"


async def test_what_is_told_is_bounded(client: httpx.AsyncClient) -> None:
    body = CHAT | {f"key{i}{'x' * 500}": i for i in range(200)}
    header = (await client.post("/v1/chat/completions", json=body)).headers[HEADER]
    assert header.endswith(", +184") and len(header) < 2000
    many = CHAT | {"messages": [{"role": "user", "content": "x", f"k{i}": i} for i in range(300)]}
    error = error_of(await client.post("/v1/chat/completions", json=many))
    assert error["message"] == "the body has more than 256 different unknown fields"
    later = CHAT | {"messages": [{"role": "user", "content": "x", "k": value} for value in (None, 1)]}
    assert (await client.post("/v1/chat/completions", json=later)).headers[HEADER] == "messages[].k"
    alike = CHAT | {"messages": [{"role": "user", "content": "x", "k": i} for i in range(30)]}
    assert (await client.post("/v1/chat/completions", json=alike)).headers[HEADER] == "messages[].k"


async def test_tokenize_tells_too(client: httpx.AsyncClient) -> None:
    asked = {"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"nope": 1}, "zzz": 1}
    response = await client.post("/tokenize", json=asked)
    assert (response.status_code, response.headers[HEADER]) == (200, "zzz, chat_template_kwargs.nope")
    assert (await client.post("/detokenize", json={"tokens": [104], "objectives": 1})).headers[HEADER] == "objectives"
