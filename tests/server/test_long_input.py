"""Names and values as long as a body may be: refused without work that grows faster than they do, in few words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from server.errors import MAX_MESSAGE
from server.http.left_out import HEADER
from server.protocol.chat import ChatCompletionRequest
from server.protocol.responses import ResponsesRequest
from server.text import rendering
from tests.server.conftest import USER, app_client

ADMIN = "admin-key-0123456789"
LONG = "temperature" * 170_000
NAMES = {"plain": LONG, "quoted": "'\"\\" * 200_000, "control": "\x01" * 200_000}
CHAT: dict[str, Any] = {"messages": USER, "max_tokens": 1}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def bodies(long: str) -> list[tuple[str, str, dict[str, Any]]]:
    chat: list[dict[str, Any]] = [
        {long: 1},
        {"guidance": {long: 1}},
        {"guidance": {"normalise": long}},
        {"guidance": {"search": {"method": long}}},
        {"objective_weights": {long: 1}},
        {"objective_weights": {long: 1e9}},
        {"objective_weights": {long: "x"}},
        {"objective_weights": {"cheerful": long}},
        {"model": long},
        {"model": "fake/model:" + long},
        {"temperature": long},
        {"messages": [{"role": long, "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": long}]}]},
        {"stop": long},
        {"logit_bias": {long: 1}},
        {"cache_salt": long},
        {"request_id": long},
        {"response_format": {"type": long}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": long, "schema": {}}}},
        {"guided_json": long},
        {"guided_regex": long},
        {"guided_grammar": long},
        {"tools": [{"type": "function", "function": {"name": long}}]},
        {"tools": TOOLS, "tool_choice": long},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": long}}},
        {"chat_template_kwargs": {long: 1}},
    ]
    return [("POST", "/v1/chat/completions", CHAT | more) for more in chat] + [
        ("POST", "/v1/completions", {"prompt": [long, 1]}),
        ("POST", "/v1/responses", {"input": [{"type": long}]}),
        ("POST", "/v1/responses", {"input": "x", "include": [long]}),
        ("POST", "/v1/responses", {"input": "x", "tools": [{"type": long}]}),
        ("POST", "/v1/messages", {"messages": USER, "tools": [{"type": long}]}),
        ("POST", "/v1/messages", {"messages": USER, "model": long}),
        ("POST", "/v1/messages", {"messages": [{"role": "user", "content": [{"type": long}]}]}),
        ("POST", "/v1/messages", {"messages": [{"role": "user", "content": [{"type": long + "_tool_result"}]}]}),
        ("POST", "/tokenize", {"prompt": "x", "model": long}),
        ("POST", "/detokenize", {"tokens": [long]}),
        ("PUT", "/v1/preferences/u", {"objective_weights": {long: 1}}),
        ("PUT", "/v1/preferences/u", {"objective_weights": {long: 1e9}}),
        ("PUT", "/v1/presets/p", {"objective_weights": {long: 1}}),
        ("PUT", "/v1/presets/p", {"objective_weights": {long: 1e9}}),
        ("PUT", "/v1/presets/p", {"objective_weights": {}, "description": long}),
        ("POST", "/v1/values", {"source": long}),
    ]


@pytest.fixture
def no_long_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """What compares or searches for a name gets none that is longer than a name can be."""
    close, mentions = difflib.get_close_matches, rendering.mentions

    def close_matches(word: str, *rest: Any) -> Sequence[str]:
        assert len(word) <= 100
        return close(word, *rest)

    def mentioned(template: str, word: str) -> bool:
        assert len(word) <= 100
        return mentions(template, word)

    monkeypatch.setattr(difflib, "get_close_matches", close_matches)
    monkeypatch.setattr(rendering, "mentions", mentioned)


@pytest.mark.usefixtures("no_long_words")
@pytest.mark.parametrize("name", NAMES)
async def test_a_name_as_long_as_the_body(name: str) -> None:
    async with app_client(admin_api_key=ADMIN) as client:
        client.headers["authorization"] = f"Bearer {ADMIN}"
        taken = 0
        for method, path, body in bodies(NAMES[name]):
            answer = await client.request(method, path, json=body)
            if answer.status_code == 200:
                taken += 1
                assert len(answer.content) < 3000
                assert len(answer.headers.get(HEADER, "")) <= 300
                continue
            assert answer.status_code in (400, 404), (path, [*body], answer.text[:500])
            error = answer.json()["error"]
            assert len(error["message"]) <= MAX_MESSAGE + 3
            assert len(error.get("param") or "") <= 300
        assert taken == 6  # an unknown field, a format's name, a template's variable, what to include, tools' types


async def test_a_close_name_is_still_suggested() -> None:
    async with app_client(unknown_fields="refuse") as client:
        answer = await client.post("/v1/chat/completions", json=CHAT | {"temprature": 1})
    assert answer.json()["error"]["message"] == "unknown field 'temprature'; did you mean 'temperature'?"


MANY = 20_000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"logit_bias": dict.fromkeys(map(str, range(MANY)), "x")}, "logit_bias: dictionary should have at most 1024"),
        ({"objective_weights": dict.fromkeys(map(str, range(MANY)), "x")}, "objective_weights: dictionary should have"),
        ({"guidance": dict.fromkeys(map(str, range(MANY)), 1)}, "guidance: dictionary should have at most 256 items"),
        ({"messages": [dict.fromkeys(map(str, range(MANY)), 1)]}, "messages[0]: dictionary should have at most 256"),
    ],
)
async def test_many_wrong_entries_are_counted_and_not_read(
    client: httpx.AsyncClient, more: dict[str, Any], message: str
) -> None:
    """Not one finding for each of them, which was seconds for a body of 2 MiB."""
    answer = await client.post("/v1/chat/completions", json=CHAT | more)
    assert answer.json()["error"]["message"].startswith(message)
    assert str(MANY) in answer.json()["error"]["message"] or "not more" in answer.json()["error"]["message"]


async def test_many_wrong_items_of_a_list_are_one_finding(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/responses", json={"input": "x", "include": [1] * MANY})
    assert answer.json()["error"]["param"] == "include[0]"


def test_the_schema_says_the_bounds() -> None:
    bias = ChatCompletionRequest.model_json_schema()["properties"]["logit_bias"]["anyOf"][0]
    assert bias["maxProperties"] == 1024
    include = ResponsesRequest.model_json_schema()["properties"]["include"]["anyOf"][0]
    assert include["maxItems"] == 16


def test_calls_of_a_responses_input_join_the_message_before_them() -> None:
    def call(i: int) -> dict[str, str]:
        return {"type": "function_call", "call_id": f"c{i}", "name": "f", "arguments": "{}"}

    items: list[Any] = [
        call(0),
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y"},
        call(1),
        call(2),
        {"type": "function_call_output", "call_id": "c1", "output": "z"},
        call(3),
    ]
    found = ResponsesRequest.model_validate({"input": items}).messages()
    shown = [(m.role, m.content, [call.id for call in m.tool_calls or []], m.tool_call_id) for m in found]
    assert shown == [
        ("assistant", None, ["c0"], None),
        ("user", "x", [], None),
        ("assistant", "y", ["c1", "c2"], None),
        ("tool", "z", [], "c1"),
        ("assistant", None, ["c3"], None),
    ]
