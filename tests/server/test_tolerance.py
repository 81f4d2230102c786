"""What is taken although it could be said better: conversations that go on, wishes without effect, loose values."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import orjson
import pytest
from pydantic import BaseModel

from mavis_core.api.bounds import SMALLEST
from mavis_core.api.structure import Structure
from server.http.left_out import HEADER
from tests.server.conftest import USER, Live, app_client
from tests.server.fake_engine import SCRIPT, TOOL_TEMPLATE, FakeEngine
from tests.server.test_requests import ask
from tests.server.tools import CALL, TOOLS

THINKS = "{% for m in messages %}{{ m.content }}{% endfor %}[{{ reasoning_effort }}|{{ enable_thinking }}]"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"content": None}, ""),
        ({}, ""),
        ({"content": []}, ""),
        ({"content": ["a", {"text": "b"}, {"type": "input_text", "text": "c"}]}, "a\nb\nc"),
        ({"content": [{"type": "output_text", "text": "a", "annotations": [{}], "logprobs": []}]}, "a"),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, "no"),
        ({"content": None, "refusal": "no"}, "no"),
        ({"content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "a"}]}, "a"),
        ({"content": "a", "reasoning_content": "hm", "reasoning": "hm", "thinking_blocks": [{}], "parsed": {}}, "a"),
        ({"content": "a", "refusal": None, "audio": None, "function_call": None, "annotations": None}, "a"),
        ({"content": "a", "tool_calls": [], "annotations": [{"type": "url_citation"}]}, "a"),
        ({"content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}, "a"),
        ({"content": "a", "tool_call_id": "c"}, "a"),
    ],
)
async def test_messages(client: httpx.AsyncClient, engine: FakeEngine, said: dict[str, Any], text: str) -> None:
    response = await ask(client, messages=[*USER, {"role": "assistant", **said}, *USER])
    assert response.status_code == 200, response.text
    assert bytes(engine.requests[0].prompt_token_ids).decode() == f"user:hi\nassistant:{text}\nuser:hi\nassistant:"


@pytest.mark.parametrize(
    ("call", "shown", "named"),
    [
        ({"function": {"name": "f", "arguments": '{"a": 1}'}}, '{"a": 1}', False),
        ({"function": {"name": "f", "arguments": {"a": 1}}, "index": 0}, '{"a": 1}', False),
        ({"function": {"name": "f", "arguments": None}, "type": None, "id": None}, "{}", False),
        ({"function": {"name": "f"}}, "{}", False),
        ({"function": {"name": "f", "arguments": ""}}, "{}", False),
        ({"function": {"name": "f", "arguments": '{"a": "b'}}, "{}", True),
        ({"function": {"name": "f", "arguments": "["}}, "{}", True),
        ({"function": {"name": "f", "arguments": "[1]", "parsed_arguments": None}}, "{}", True),
        ({"function": {"name": "f", "arguments": "nonsense"}}, "{}", True),
    ],
)
async def test_calls(call: dict[str, Any], shown: str, named: bool) -> None:
    engine = FakeEngine(max_model_len=4000)
    async with app_client(engine, tokenizer_template=TOOL_TEMPLATE) as client:
        history = [*USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "rain"}]
        response = await ask(client, messages=history, tools=TOOLS)
    assert response.status_code == 200, response.text
    assert f"assistant:[f {shown}]\ntool:rain\n" in bytes(engine.requests[0].prompt_token_ids).decode()
    assert ("arguments" in response.headers.get(HEADER, "")) == named


class City(BaseModel):
    city: str


@pytest.mark.parametrize("cut", [None, 51])
def test_what_the_official_client_accumulates_goes_back(serve: Any, cut: int | None) -> None:
    """Three turns of ``parse`` and its stream, each with the messages before as the client has them."""
    live: Live = serve(FakeEngine(max_model_len=8000, script=CALL[:cut].encode()))
    client = openai.OpenAI(base_url=live.url + "/v1", api_key="none", max_retries=0)
    messages: list[Any] = [*USER]
    tool = openai.pydantic_function_tool(City, name="weather")
    for turn in range(3):
        asked: Any = {"model": "fake/model", "messages": messages, "tools": [tool]}
        if cut is not None:
            message = client.chat.completions.create(**asked).choices[0].message
        elif turn == 1:
            with client.chat.completions.stream(**asked) as stream:
                message = stream.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.parse(**asked).choices[0].message
        messages.append(message.model_dump())
        messages += [{"role": "tool", "tool_call_id": c.id, "content": "rain"} for c in message.tool_calls or []]
    assert [bytes(r.prompt_token_ids).decode().count("rain") for r in live.engine.requests] == [0, 1, 2]


def test_responses_go_back(serve: Any) -> None:
    live: Live = serve(FakeEngine(max_model_len=8000))
    client = openai.OpenAI(base_url=live.url + "/v1", api_key="none", max_retries=0)
    history: list[Any] = [{"role": "user", "content": "hi"}]
    for _ in range(3):
        made = client.responses.create(
            model="fake/model",
            input=history,
            include=["reasoning.encrypted_content"],
            reasoning={"effort": "low", "summary": "auto"},
            text={"verbosity": "low"},
            truncation="auto",
            store=False,
            extra_body={"client_metadata": {"a": 1}},
        )
        history += [item.model_dump() for item in made.output] + [{"role": "user", "content": "more"}]
    assert bytes(live.engine.requests[2].prompt_token_ids).decode().count(SCRIPT.decode()) == 2


NO_EFFECT: dict[str, Any] = {
    "reasoning_effort": "high", "verbosity": "low", "reasoning": {"effort": "high"}, "prediction": {"content": "x"},
    "metadata": {"tags": [1], "user_id": "u"}, "store": None, "service_tier": "flex", "client_metadata": {"a": {}},
    "cache_control": {"type": "ephemeral"}, "prompt_cache_options": {"a": 1}, "safety_identifier": "s",
    "stream_interval": 3, "session_id": "s", "length_penalty": 1.0, "include_reasoning": False,
    "mm_processor_kwargs": {}, "media_io_kwargs": {}, "guided_decoding_backend": "xgrammar",
    "return_token_offsets": False, "enable_thinking": True, "function_call": "auto", "functions": [],
    "allowed_token_ids": [], "web_search_options": False,
}  # fmt: skip


async def test_wishes_without_effect(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await ask(client, **NO_EFFECT)
    assert response.status_code == 200, response.text
    assert HEADER not in response.headers
    await ask(client)
    with_them, without = engine.requests
    assert (with_them.prompt_token_ids, with_them.sampling) == (without.prompt_token_ids, without.sampling)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"reasoning_effort": "low"}, "[low|True]"),
        ({"reasoning_effort": "none"}, "[none|False]"),
        ({"enable_thinking": False}, "[|False]"),
        ({"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "high"}, "[high|False]"),
        ({}, "[|]"),
    ],
)
async def test_templates_that_think_are_told(body: dict[str, Any], shown: str) -> None:
    engine = FakeEngine()
    async with app_client(engine, tokenizer_template=THINKS) as client:
        await ask(client, **body)
        effort = {"reasoning": {"effort": body["reasoning_effort"]}} if "reasoning_effort" in body else {}
        await client.post("/v1/responses", json={"input": "hi"} | effort)
    chat, response = (bytes(request.prompt_token_ids).decode() for request in engine.requests)
    assert chat == "hi" + shown
    assert response[: response.index("|")] == chat[: chat.index("|")]


async def test_a_limit_beyond_the_context_is_what_is_left(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    prompt = len(b"user:hi\nassistant:")
    chat = "chat/completions"
    for body, path in (
        ({"max_tokens": 10**9}, chat),
        ({"max_completion_tokens": 390}, chat),
        ({"max_output_tokens": 5000}, "responses"),
    ):
        asked = {"messages": USER} if path == chat else {"input": "hi"}
        assert (await client.post(f"/v1/{path}", json=asked | body)).status_code == 200
        assert engine.requests.pop().sampling.max_tokens == 400 - prompt
    assert (await ask(client, "/v1/completions", prompt=["a", "b" * 398], max_tokens=400)).status_code == 200
    assert sorted(request.sampling.max_tokens or 0 for request in engine.requests) == [2, 399]


async def test_loose_values(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    tool = {"type": "function", "function": {"name": "files.read/v1:x", "strict": True}, "cache_control": {}}
    for body in ({"stop": ""}, {"stop": ["", "x"]}, {"top_p": 0}, {"tools": [], "tool_choice": "auto"},
                 {"tool_choice": "auto"}, {"top_logprobs": 0}, {"tools": [tool]}):  # fmt: skip
        response = await ask(client, max_tokens=3, **body)
        assert response.status_code == 200, (body, response.text)
        assert response.json()["choices"][0]["logprobs"] is None
    sampled = [request.sampling for request in engine.requests]
    assert [s.stop for s in sampled[:2]] == [(), ("x",)]
    assert sampled[2].top_p == SMALLEST
    assert [s.structure is None for s in sampled] == [True] * 6 + [False]


async def test_a_dotted_name_is_called() -> None:
    script = CALL.replace('"weather"', '"files.read/v1:x"').encode()
    async with app_client(FakeEngine(max_model_len=4000, script=script)) as client:
        named = {"type": "function", "function": {"name": "files.read/v1:x"}}
        choice = (await ask(client, tools=[named])).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "files.read/v1:x"


SCHEMA = {"type": "null"}


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"type": "json_object", "schema": SCHEMA}, "json_schema"),
        ({"type": "json_object", "value": SCHEMA}, "json_schema"),
        ({"type": "json", "value": SCHEMA}, "json_schema"),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, "json_schema"),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA, "name": "with spaces, and ümlaut"}}, "json_schema"),
        ({"type": "json_schema", "schema": SCHEMA}, "json_schema"),
        ({"type": "regex", "value": "a+"}, "regex"),
    ],
)
async def test_response_formats(client: httpx.AsyncClient, engine: FakeEngine, asked: Any, kind: Any) -> None:
    response = await ask(client, response_format=asked)
    assert response.status_code == 200, response.text
    source = "a+" if kind == "regex" else orjson.dumps(SCHEMA).decode()
    assert engine.requests[0].sampling.structure == Structure(kind, source)


async def test_a_response_format_without_a_name(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    text = {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert (await client.post("/v1/responses", json={"input": "hi", "text": text})).status_code == 200
    assert engine.requests[0].sampling.structure == Structure("json_schema", orjson.dumps(SCHEMA).decode())
