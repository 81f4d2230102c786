"""``/v1/responses`` as Codex and the OpenAI Agents SDK send it, body for body, and what of it reaches the model."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import httpx
import orjson
import pytest

from server.http.left_out import HEADER
from tests.server.conftest import app_client
from tests.server.fake_engine import TOOL_TEMPLATE, FakeEngine
from tests.server.tools import PARAMETERS

EXEC: dict[str, Any] = {
    "type": "function",
    "name": "exec_command",
    "description": "Runs a command in a PTY.",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"cmd": {"type": "string"}, "yield_time_ms": {"type": "number"}},
        "required": ["cmd"],
        "additionalProperties": False,
    },
}
CODEX: dict[str, Any] = {
    "model": "fake/model",
    "instructions": "You are Codex.",
    "input": [
        {"type": "message", "role": "developer",
         "content": [{"type": "input_text", "text": "<permissions>ask</permissions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<cwd>/src</cwd>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is here?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "**Looking**"}], "content": None,
         "encrypted_content": "gAAAAAB"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "ls"}', "call_id": "call_1"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAC"},
        {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "pwd"}', "call_id": "call_2"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a.py"},
        {"type": "function_call_output", "call_id": "call_2",
         "output": [{"type": "input_text", "text": "/src"}, {"type": "input_text", "text": "done"}]},
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "a.py"}},
        {"type": "custom_tool_call", "status": "completed", "call_id": "call_3", "name": "apply_patch",
         "input": "*** Begin Patch"},
        {"type": "custom_tool_call_output", "call_id": "call_3", "output": "Success"},
    ],
    "tools": [
        EXEC,
        {"type": "function", "name": "update_plan", "strict": False, "parameters": {
            "type": "object", "properties": {"explanation": {"type": "string"}}, "additionalProperties": False}},
        {"type": "custom", "name": "apply_patch", "description": "Edits files.",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin_patch"}},
        {"type": "local_shell"},
        {"type": "web_search", "external_web_access": True},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199f2c6-0c3e-7a51-b0c5-3f2d0f3f3f3f",
    "text": {"verbosity": "medium"},
    "client_metadata": {"x-codex-installation-id": "b3c5"},
}  # fmt: skip
CODEX_LEFT_OUT = (
    "input[].type=reasoning, input[].type=web_search_call, tools[].type=custom, tools[].type=local_shell, "
    "tools[].type=web_search"
)
AGENTS: dict[str, Any] = {
    "model": "fake/model",
    "instructions": "Hand over to whom it concerns.",
    "input": [
        {"content": "Weather in Bonn?", "role": "user"},
        {"id": "rs_1", "summary": [], "type": "reasoning", "content": [], "encrypted_content": None, "status": None},
        {"arguments": '{"city": "Bonn"}', "call_id": "call_1", "name": "weather", "type": "function_call",
         "id": "fc_1", "status": "completed"},
        {"call_id": "call_1", "output": "rain", "type": "function_call_output"},
        {"id": "rs_2", "type": "item_reference"},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "It rains.", "annotations": [], "logprobs": []}]},
        {"content": "And now?", "role": "user"},
    ],
    "include": ["message.output_text.logprobs"],
    "tools": [
        {"type": "function", "name": "weather", "description": "Of a city.", "strict": True,
         "parameters": PARAMETERS | {"additionalProperties": False}},
        {"type": "function", "name": "transfer_to_billing", "description": "Handoff.", "strict": True,
         "parameters": {"additionalProperties": False, "type": "object", "properties": {}, "required": []}},
        {"type": "web_search", "filters": None, "user_location": None, "search_context_size": "medium"},
        {"type": "mcp", "server_label": "git", "server_url": "https://example.com/mcp", "require_approval": "never"},
        {"type": "computer_use_preview", "environment": "browser", "display_width": 800, "display_height": 600},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "temperature": 0.5,
    "top_p": 0.9,
    "truncation": "auto",
    "max_output_tokens": 12,
    "text": {"format": {"type": "json_schema", "name": "final_output", "strict": True, "schema": {
        "type": "object", "properties": {"rain": {"type": "boolean"}}, "required": ["rain"],
        "additionalProperties": False}}},
    "store": True,
    "service_tier": "auto",
    "reasoning": {"effort": "low"},
    "metadata": {"workflow": "weather"},
}  # fmt: skip


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(max_model_len=8000)


async def test_codex(engine: FakeEngine) -> None:
    async with app_client(engine, tokenizer_template=TOOL_TEMPLATE) as client:
        response = await client.post("/v1/responses", json=CODEX)
    assert response.status_code == 200, response.text
    assert response.headers[HEADER] == CODEX_LEFT_OUT
    prompt = bytes(engine.requests[0].prompt_token_ids).decode()
    assert "apply_patch" not in prompt.partition("system:")[0] and "update_plan" in prompt.partition("system:")[0]
    assert prompt.endswith(
        "system:You are Codex.\nsystem:<permissions>ask</permissions>\nuser:<cwd>/src</cwd>\nuser:What is here?\n"
        'assistant:I look.[exec_command {"cmd": "ls"}][exec_command {"cmd": "pwd"}]\ntool:a.py\ntool:/src\ndone\n'
        'assistant:[apply_patch {"input": "*** Begin Patch"}]\ntool:Success\nassistant:'
    )
    events = events_of(response)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]["response"]
    assert (events[-1]["type"], last["store"], last["previous_response_id"]) == ("response.completed", False, None)
    assert [tool["name"] for tool in last["tools"]] == ["exec_command", "update_plan"]


async def test_the_agents_sdk(engine: FakeEngine) -> None:
    async with app_client(engine, tokenizer_template=TOOL_TEMPLATE) as client:
        response = await client.post("/v1/responses", json=AGENTS | {"guidance": {"report_ignored": True}})
    assert response.status_code == 200, response.text
    made = response.json()
    items, tools = ("reasoning", "item_reference"), ("web_search", "mcp", "computer_use_preview", "file_search")
    named = [f"input[].type={kind}" for kind in items] + [f"tools[].type={kind}" for kind in tools]
    assert response.headers[HEADER].split(", ") == made["guidance"]["ignored"] == named
    assert made["parallel_tool_calls"] is False
    assert (made["status"], made["metadata"], made["truncation"]) == ("incomplete", {"workflow": "weather"}, "disabled")
    request = engine.requests[0]
    assert bytes(request.prompt_token_ids).decode().endswith(
        "user:Weather in Bonn?\nassistant:[weather {\"city\": \"Bonn\"}]\ntool:rain\nassistant:It rains.\n"
        "user:And now?\nassistant:"
    )  # fmt: skip
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.logprobs) == (0.5, 0.9, 0)
    assert request.sampling.structure and "rain" in request.sampling.structure.source


async def test_what_is_left_out_changes_nothing_else(engine: FakeEngine) -> None:
    plain = deepcopy(CODEX)
    for name in ("input", "tools"):
        plain[name] = [item for item in plain[name] if f"{name}[].type={item['type']}" not in CODEX_LEFT_OUT]
    async with app_client(engine) as client:
        for body in (CODEX, plain):
            assert (await client.post("/v1/responses", json=body)).status_code == 200
    with_them, without = engine.requests
    assert (with_them.prompt_token_ids, with_them.sampling) == (without.prompt_token_ids, without.sampling)


async def test_names_point_into_the_whole_list(engine: FakeEngine) -> None:
    """A tool's number counts those that are left out."""
    tools = [{"type": "web_search"}, EXEC | {"strict": True, "parameters": {"type": "object", "not": {}}}]
    async with app_client(engine) as client:
        error = (await client.post("/v1/responses", json={"input": "hi", "tools": tools})).json()["error"]
        assert error["param"] == "tools[1].parameters"
        tools = [{"type": "web_search"}, EXEC, EXEC]
        error = (await client.post("/v1/responses", json={"input": "hi", "tools": tools})).json()["error"]
        assert error["param"] == "tools[2].name"


async def test_refuse_names_them() -> None:
    async with app_client(unknown_fields="refuse") as client:
        body = {"input": "hi", "tools": [EXEC, {"type": "web_search"}]}
        error = (await client.post("/v1/responses", json=body)).json()["error"]
    assert (error["message"], error["param"]) == (
        "unknown field 'tools[1].type=web_search'", "tools[1].type=web_search",
    )  # fmt: skip


async def test_thoughts_as_text_go_back(engine: FakeEngine) -> None:
    told = "{{ m.role }}:({{ m.reasoning }}){{ m.content }}{{ m.tool_calls | length }}"
    shows = "{% for t in tools %}{{ t }}{% endfor %}{% for m in messages %}" + told + "\n{% endfor %}"
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "status": "completed",
               "content": [{"type": "reasoning_text", "text": "hm"}]}  # fmt: skip
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    async with app_client(engine, tokenizer_template=shows) as client:
        for items, shown in (
            ([thought, said], "assistant:(hm)so0\n"),
            ([thought, call], "assistant:(hm)1\n"),
            ([thought, said, call], "assistant:(hm)so1\n"),
            ([thought], "assistant:(hm)0\n"),
        ):
            response = await client.post("/v1/responses", json={"input": [*items, {"role": "user", "content": "x"}]})
            assert response.status_code == 200, response.text
            assert HEADER not in response.headers
            assert bytes(engine.requests.pop().prompt_token_ids).decode() == shown + "user:()x0\n"


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
async def test_state_is_refused_by_name(client: httpx.AsyncClient, field: str) -> None:
    response = await client.post("/v1/responses", json=CODEX | {field: "x"})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, field, None)
    assert (await client.post("/v1/responses", json={"input": "hi", field: None})).status_code == 200


async def test_what_another_server_keeps_is_refused(client: httpx.AsyncClient) -> None:
    items = [{"role": "user", "content": "hi"}, {"type": "item_reference", "id": "msg_1"}]
    error = (await client.post("/v1/responses", json={"input": items})).json()["error"]
    assert error["param"] == "input[1]"
    assert error["message"].startswith("input[1].type='item_reference': nothing is stored here; send the item itself")


async def test_an_image_in_an_output_is_refused(client: httpx.AsyncClient) -> None:
    output = [{"type": "input_image", "image_url": "data:image/png;base64,x"}]
    items = [{"type": "function_call_output", "call_id": "c", "output": output}]
    error = (await client.post("/v1/responses", json={"input": items})).json()["error"]
    assert error["message"] == "input[0].output[0] is 'input_image': the model reads text only"
