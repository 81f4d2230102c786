"""``/v1/messages`` without a client: what reaches the model, what comes back, and errors of every layer."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from server.answers.message_content import input_of
from server.http.left_out import HEADER
from server.protocol.messages.answer import Message, MessagesError, TokensCount
from tests.server.conftest import app_client
from tests.server.fake_engine import CACHED, SCRIPT, TOOL_TEMPLATE, FakeEngine, FakeTokenizer
from tests.server.messages import ASK, CLAUDE_CODE, CLAUDE_CODE_HEADERS, PATH, SEARCH, TOOLS, TURN
from tests.server.test_tolerance import THINKS
from tests.server.tools import ARGUMENTS, CALL, TWO_CALLS

TEXT = SCRIPT.decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}


def ending(script: str = TEXT) -> FakeEngine:
    return FakeEngine(max_model_len=8000, script=script.encode(), ends=True)


async def ask(client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await client.post(PATH, json=ASK | more)


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [event.split("\n") for event in response.text.strip().split("\n\n")]
    read = [orjson.loads(data.removeprefix("data: ")) for _, data in events]
    assert [name for name, _ in events] == [f"event: {event['type']}" for event in read]
    return read


def error_of(response: httpx.Response) -> str:
    """Its message, once all else is checked."""
    told = MessagesError.model_validate_json(response.content)
    assert told.request_id == response.headers["request-id"] == response.headers["x-request-id"]
    return told.error.message


async def test_a_message() -> None:
    engine = ending()
    async with app_client(engine) as client:
        response = await ask(client, system="Be brief.", objective_weights={"cheerful": 1})
    made = Message.model_validate_json(response.content)
    assert [block.model_dump() for block in made.content] == [{"type": "text", "text": TEXT, "citations": None}]
    assert (made.stop_reason, made.stop_sequence, made.model) == ("end_turn", None, "fake/model")
    prompt = b"system:Be brief.\nuser:hi\nassistant:"
    assert bytes(engine.requests[0].prompt_token_ids) == prompt
    assert (made.usage.input_tokens, made.usage.cache_read_input_tokens) == (len(prompt) - CACHED, CACHED)
    assert made.usage.output_tokens == len(TEXT) + 1
    assert made.guidance and made.guidance.source == "body" and made.guidance.kl_nats > 0


async def test_a_stream_tells_the_same() -> None:
    asked: dict[str, Any] = {"tools": TOOLS, "objective_weights": {"cheerful": 1}, "guidance": {"report": True}}
    async with app_client(ending("so:" + TWO_CALLS)) as client:
        whole = (await ask(client, **asked)).json()
        events = events_of(await ask(client, **asked, stream=True))
    assert events[0]["message"] | {"id": 0, "usage": 0} == {
        "id": 0, "type": "message", "role": "assistant", "model": "fake/model", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": 0,
    }  # fmt: skip
    assert events[0]["message"]["usage"]["cache_read_input_tokens"] == CACHED
    blocks: list[dict[str, Any]] = []
    said = ""
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(blocks)
                blocks.append(event["content_block"])
                said = ""
            case "content_block_delta":
                assert event["index"] == len(blocks) - 1
                said += event["delta"].get("text", "") + event["delta"].get("partial_json", "")
            case "content_block_stop":
                blocks[-1] |= {"text": said} if blocks[-1]["type"] == "text" else {"input": orjson.loads(said)}
    assert [without_id(block) for block in blocks] == [without_id(block) for block in whole["content"]]
    assert [block["type"] for block in blocks] == ["text", "tool_use", "tool_use"]
    assert blocks[1]["input"] == orjson.loads(ARGUMENTS)
    assert events[-2] == {
        "type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": whole["usage"], "guidance": whole["guidance"],
    }  # fmt: skip
    assert len(whole["guidance"]["tokens"]) == whole["usage"]["output_tokens"]
    assert events[-1] == {"type": "message_stop"}


def without_id(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != "id"}


@pytest.mark.parametrize(
    ("more", "reason", "sequence", "text"),
    [
        ({}, "end_turn", None, TEXT),
        ({"max_tokens": 3}, "max_tokens", None, TEXT[:3]),
        ({"stop_sequences": ["", "there"]}, "stop_sequence", "there", "Hello "),
        ({"stop": ["friend"], "stop_sequences": ["nowhere"]}, "stop_sequence", "friend", "Hello there, "),
        ({"stop_token_ids": [ord("t")]}, "end_turn", None, "Hello "),
        ({"max_tokens": None}, "end_turn", None, TEXT),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_why_it_ended(more: Any, reason: str, sequence: str | None, text: str, stream: bool) -> None:
    async with app_client(ending()) as client:
        response = await ask(client, **more, stream=stream)
    if stream:
        events = events_of(response)
        said = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
        stopped = events[-2]["delta"]
    else:
        stopped = response.json()
        said = stopped["content"][0]["text"]
    assert (stopped["stop_reason"], stopped["stop_sequence"], said) == (reason, sequence, text)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_empty_answer(stream: bool) -> None:
    async with app_client(ending("")) as client:
        response = await ask(client, stream=stream)
    if stream:
        assert [event["type"] for event in events_of(response)] == ["message_start", "message_delta", "message_stop"]
    else:
        assert (response.json()["content"], response.json()["stop_reason"]) == ([], "end_turn")


@pytest.mark.parametrize(
    ("choice", "script", "kind", "parallel"),
    [
        (None, CALL, "grammar", True),
        ({"type": "auto", "disable_parallel_tool_use": True}, CALL, "grammar", False),
        ({"type": "any"}, CALL, "grammar", True),
        ({"type": "any", "disable_parallel_tool_use": True}, CALL, "grammar", False),
        ({"type": "tool", "name": "weather"}, ARGUMENTS, "json_schema", True),
        ({"type": "tool", "name": "weather", "disable_parallel_tool_use": True}, ARGUMENTS, "json_schema", True),
    ],
)
async def test_tool_choice(choice: Any, script: str, kind: str, parallel: bool) -> None:
    engine = ending(script)
    async with app_client(engine) as client:
        made = (await ask(client, tools=TOOLS, tool_choice=choice)).json()
    structure = engine.requests[0].sampling.structure
    assert structure and structure.kind == kind
    assert kind == "json_schema" or ("call)*" in structure.source) == parallel
    assert kind == "json_schema" or ("TEXT" in structure.source) == (choice is None or choice["type"] == "auto")
    assert made["stop_reason"] == "tool_use"
    assert [(block["name"], block["input"]) for block in made["content"]] == [("weather", orjson.loads(ARGUMENTS))]


async def test_no_tools_are_shown_where_none_may_be_called() -> None:
    engine = ending()
    async with app_client(engine) as client:
        await ask(client, tools=TOOLS, tool_choice={"type": "none"})
        await ask(client)
    assert engine.requests[0].prompt_token_ids == engine.requests[1].prompt_token_ids
    assert engine.requests[0].sampling == engine.requests[1].sampling


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"city": "Bonn"}', {"city": "Bonn"}),
        ("", {}),
        ("{", {}),
        ('{"city": "Bo', {}),
        ('{"city": "Bonn", "days": [1, 2', {"city": "Bonn", "days": [1, 2]}),
        ('{"ci', {}),
        ("[1]", {}),
        ("nonsense", {}),
    ],
)
def test_arguments_that_were_cut(arguments: str, read: dict[str, Any]) -> None:
    assert input_of(arguments) == read


async def test_a_call_that_was_cut_goes_back() -> None:
    engine = ending(CALL)
    async with app_client(engine) as client:
        cut = (await ask(client, tools=TOOLS, max_tokens=51)).json()
        assert cut["stop_reason"] == "max_tokens"
        assert [block["type"] for block in cut["content"]] == ["tool_use"]
        back = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": cut["content"][0]["id"]}]}
        turns = [TURN, {"role": "assistant", "content": cut["content"]}, back]
        assert (await ask(client, messages=turns, tools=TOOLS)).status_code == 200


READ: list[tuple[list[Any], str]] = [
    ([TURN, {"role": "user", "content": "there"}], "user:hi\nthere\n"),
    ([TURN, {"role": "assistant", "content": []}, TURN], "user:hi\nhi\n"),
    ([{"role": "user", "content": [{"text": "a"}, {"type": "text", "text": "b", "citations": None}]}], "user:a\nb\n"),
    ([{"role": "system", "content": "s"}, TURN], "system:s\nuser:hi\n"),
    ([TURN, {"role": "system", "content": "later"}], "user:hi\nlater\n"),
    ([{"role": "user", "content": [{"type": "mid_conv_system", "content": [{"type": "text", "text": "s"}]},
                                   {"type": "text", "text": "a"}]}], "user:s\na\n"),
    ([TURN, {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                                              {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                                              {"type": "text", "text": "a"}]}, TURN],
     "user:hi\nassistant:a\nuser:hi\n"),
    ([TURN, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
          {"type": "text", "text": "a"}, {"type": "tool_reference", "tool_name": "g"}, {"type": "text", "text": "b"}]},
          {"type": "text", "text": "now"}]}], "user:hi\nassistant:[f {}]\ntool:a\nb\nuser:now\n"),
    ([TURN, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "gone"}]}],
     'user:hi\nassistant:[f {"a": 1}]\ntool:Error: gone\n'),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "prompt"), READ)
async def test_turns(turns: list[Any], prompt: str) -> None:
    engine = ending()
    async with app_client(engine, tokenizer_template=TOOL_TEMPLATE) as client:
        response = await ask(client, messages=turns)
        assert response.status_code == 200, response.text
        assert bytes(engine.requests[0].prompt_token_ids).decode() == prompt + "assistant:"
        body = {"messages": turns, "model": "fake/model"}
        counted = await client.post(PATH + "/count_tokens", json=body)
    assert TokensCount.model_validate_json(counted.content).input_tokens == len(prompt + "assistant:")
    assert counted.headers.get(HEADER) == response.headers.get(HEADER)


async def test_many_calls_side_by_side() -> None:
    """More than a message of chat completions may have; neighbours of one role are one."""
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    turns = [TURN, *({"role": "assistant", "content": [call]} for _ in range(200)), TURN]
    async with app_client(FakeEngine(max_model_len=40_000)) as client:
        response = await ask(client, messages=turns, max_tokens=1)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("stream", [False, True])
async def test_the_assistants_last_words_go_on(stream: bool) -> None:
    engine = ending()
    async with app_client(engine) as client:
        turns = [TURN, {"role": "assistant", "content": [{"type": "text", "text": "Well"}]}]
        response = await ask(client, messages=turns, stream=stream)
        assert response.status_code == 200, response.text
        counted = await client.post(PATH + "/count_tokens", json={"messages": turns})
    prompt = b"user:hi\nassistant:Well"
    assert bytes(engine.requests[0].prompt_token_ids) == prompt
    assert counted.json() == {"input_tokens": len(prompt)}
    assert "Well" not in response.text


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({}, "hi[|]"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "hi[|True]"),
        ({"thinking": {"type": "adaptive"}}, "hi[|True]"),
        ({"thinking": {"type": "disabled"}}, "hi[|False]"),
        ({"output_config": {"effort": "low"}}, "hi[low|True]"),
        ({"output_config": {"effort": "low"}, "thinking": {"type": "disabled"}}, "hi[low|False]"),
    ],
)
async def test_templates_that_think_are_told(more: dict[str, Any], shown: str) -> None:
    engine = ending()
    async with app_client(engine, tokenizer_template=THINKS) as client:
        assert (await ask(client, **more)).status_code == 200
    assert bytes(engine.requests[0].prompt_token_ids).decode() == shown


SHOWS_THOUGHTS = (
    "{% for m in messages %}{{ m.role }}:"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}\n{% endfor %}"
    "assistant:{% if enable_thinking is undefined or enable_thinking %}<think>{% endif %}"
)


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_are_blocks_and_go_back(stream: bool) -> None:
    engine = ending("hm so</think>Hello")
    async with app_client(engine, tokenizer_template=SHOWS_THOUGHTS) as client:
        response = await ask(client, stream=stream)
        if stream:
            events = events_of(response)
            content = [event["content_block"] for event in events if event["type"] == "content_block_start"]
            for event in events:
                if event["type"] == "content_block_delta":
                    kind = content[event["index"]]["type"]
                    assert event["delta"]["type"] == f"{kind}_delta"
                    content[event["index"]][kind] += event["delta"][kind]
        else:
            content = [block.model_dump() for block in Message.model_validate_json(response.content).content]
        assert content == [
            {"type": "thinking", "thinking": "hm so", "signature": ""},
            {"type": "text", "text": "Hello", "citations": None},
        ]
        back = [TURN, {"role": "assistant", "content": content}, TURN]
        again = await ask(client, messages=back, thinking={"type": "disabled"})
    assert HEADER not in again.headers
    assert bytes(engine.requests[1].prompt_token_ids).decode() == (
        "user:hi\nassistant:<think>hm so</think>Hello\nuser:hi\nassistant:"
    )
    assert [block["type"] for block in again.json()["content"]] == ["text"]


async def test_sampling() -> None:
    engine = ending()
    async with app_client(engine) as client:
        await ask(client, temperature=1, top_k=5, top_p=0.5, seed=3, stop_sequences=["a", "b"], stop="c", max_tokens=7)
    sampling = engine.requests[0].sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed) == (1, 5, 0.5, 3)
    assert (sampling.stop, sampling.max_tokens, sampling.logprobs) == (("c", "a", "b"), 7, None)


@pytest.mark.parametrize("at", ["output_config", "output_format"])
async def test_a_schema_for_the_answer(at: str) -> None:
    engine = ending('{"a": 1}')
    asked = {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    more: dict[str, Any] = {at: asked if at == "output_format" else {"format": asked}}
    async with app_client(engine) as client:
        assert (await ask(client, **more)).status_code == 200
        assert (await ask(client, **more, tools=TOOLS)).status_code == 200
        engine.refused_structure = "integer"
        refused = error_of(await ask(client, **more))
    structure = engine.requests[0].sampling.structure
    assert structure and structure.kind == "json_schema" and "integer" in structure.source
    assert refused.startswith("output_format:" if at == "output_format" else "output_config.format:")


@pytest.mark.parametrize("source", ["body", "header", "preset", "preference", "default"])
@pytest.mark.parametrize("stream", [False, True])
async def test_weights(source: str, stream: bool, tmp_path: Any) -> None:
    weights = {"cheerful": 0.5}
    presets = tmp_path / "presets.yaml"
    presets.write_text('{"warm": {"objective_weights": {"cheerful": 0.5}}}')
    default = {"cheerful": 0.5 if source == "default" else 0.1}
    async with app_client(ending(), presets=presets, objective_weights=default) as client:
        await client.put("/v1/preferences/alice", json={"objective_weights": weights})
        said: dict[str, dict[str, Any]] = {
            "body": {"objective_weights": weights},
            "preset": {"model": "fake/model:warm"},
            "preference": {"metadata": {"user_id": "alice"}, "user": "bob"},
        }
        body = ASK | said.get(source, {"metadata": {"user_id": None}}) | {"stream": stream}
        headers = {"X-Objective-Weights": "cheerful=0.5"} if source == "header" else {}
        response = await client.post(PATH, json=body, headers=headers)
    guidance = events_of(response)[-2]["guidance"] if stream else response.json()["guidance"]
    assert (guidance["source"], guidance["weights"]) == (source, weights)


async def test_objectives_in_words() -> None:
    engine = ending()
    async with app_client(engine) as client:
        words = {"objectives": {"pirate": "Talk like a pirate."}, "objective_weights": {"pirate": 2}}
        made = (await ask(client, **words, guidance={"beta": 1})).json()
    assert made["guidance"]["weights"] == {"pirate": 2}
    told = bytes(engine.requests[0].prompted[0].prompt_token_ids)
    assert told == b"system:Talk like a pirate.\nuser:hi\nassistant:"


async def test_claude_code() -> None:
    engine = ending("Read." + CALL.replace("weather", "Read"))
    async with app_client(engine, tokenizer_template=TOOL_TEMPLATE) as client:
        response = await client.post(PATH + "?beta=true", json=CLAUDE_CODE, headers=CLAUDE_CODE_HEADERS)
    assert response.status_code == 200, response.text
    assert response.headers[HEADER].split(", ") == [
        "messages[].content[].type=redacted_thinking", "tools[].type=web_search_20250305",
        "system[].x-anthropic-billing-header",
    ]  # fmt: skip
    tools, _, said = bytes(engine.requests[0].prompt_token_ids).decode().partition("system:")
    assert tools.count("\n") == 10 and "web_search" not in tools
    assert said == (
        "You are Claude Code, a CLI.\n# Tone\n" + "Be brief. " * 40 + "\n"
        "user:<system-reminder>A CLAUDE.md</system-reminder>\nRead a.py\n"
        'assistant:I read it.[Read {"file_path": "/a.py"}][Bash {"command": "ls"}]\n'
        "tool:x = 1\ntool:Error: no such folder\n"
        "user:<system-reminder>Todo list empty</system-reminder>\nThe user opened b.py.\nassistant:"
    )
    assert engine.requests[0].sampling.max_tokens == 8000 - len(engine.requests[0].prompt_token_ids)
    assert events_of(response)[-2]["delta"]["stop_reason"] == "tool_use"


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, IMAGE]}]},
     "messages[0].content[1] is 'image': the model reads text only"),
    ({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, "messages[0].content[0] is"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}]}]},
     "messages[0].content[0].content[0] is 'image': the model reads text only"),
    ({"messages": []}, "messages: list should have at least 1 item"),
    ({"messages": [{"role": "user", "content": []}]}, "messages: none of them has anything that the model could read"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role='tool'"),
    ({"messages": [{"role": "user"}]}, "messages[0].content is required"),
    ({"messages": [{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]},
     "messages[0].content[0].type='tool_result': only allowed where role is 'user'"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "t", "name": "f"}]}]},
     "messages[0].content[0].type='tool_use': only allowed where role is 'assistant'"),
    ({"max_tokens": 0}, "max_tokens=0: must be 1 to"),
    ({"temperature": 3}, "temperature=3"),
    ({"stop_sequences": ["x"] * 17}, "stop_sequences: list should have at most 16 items"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name is required where type is 'tool'"),
    ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "f"}}, "tool_choice: 'f' is none of: weather, now"),
    ({"tools": [SEARCH], "tool_choice": {"type": "any"}}, "tool_choice: only allowed where tools are given"),
    ({"tools": [SEARCH, *TOOLS, TOOLS[0]]}, "tools[3].name='weather': is given twice"),
    ({"tools": [SEARCH, {"name": "f", "strict": True, "input_schema": {"type": "object", "not": {}}}]},
     "tools[1].input_schema: #/not"),
    ({"tools": [{"name": "f", "strict": True, "input_schema": {"type": "string"}}]},
     "tools[0].input_schema.type: must be 'object' in a strict schema"),
    ({"objective_weights": {"cheery": 1}}, "objective_weights: unknown objective 'cheery'"),
    ({"objective_weigths": {"cheerful": 1}}, "unknown field 'objective_weigths'; did you mean 'objective_weights'?"),
    ({"messages": [TURN | {"content": "x" * 500}]}, "prompt is too long: the prompt has 516 tokens: at most 399"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "message"), ERRORS)
async def test_what_is_wrong_is_said_in_anthropics_shape(client: httpx.AsyncClient, more: Any, message: str) -> None:
    response = await ask(client, **more)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert error_of(response).startswith(message), response.text


@pytest.mark.parametrize("path", [PATH, PATH + "/count_tokens"])
async def test_last_words_that_the_template_changes_are_refused(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    def lost(self: FakeTokenizer, conversation: Any, **kwargs: Any) -> str:
        raise ValueError("the last message is not in the text")  # as transformers does

    monkeypatch.setattr(FakeTokenizer, "apply_chat_template", lost)
    async with app_client(ending()) as client:
        body = {"messages": [TURN, {"role": "assistant", "content": "Well"}]}
        response = await client.post(path, json=body)
    assert response.status_code == 400
    assert error_of(response).startswith("messages: the last is the assistant's, and the chat template does not write")


async def test_errors_of_the_layers_around() -> None:
    """Each in Anthropic's shape, and none of it outside its paths."""
    engine = ending()
    seen: dict[int, tuple[str, str]] = {}

    async def note(status: int, response: httpx.Response) -> None:
        message = error_of(response)
        assert response.status_code == status
        seen[status] = (response.json()["error"]["type"], message)

    settings: dict[str, Any] = {"api_key": "right", "max_body_bytes": 2000, "allowed_hosts": ("test",)}
    async with app_client(engine, **settings) as client:
        await note(401, await ask(client))
        client.headers["x-api-key"] = "right"
        assert (await ask(client)).status_code == 200
        await note(404, await ask(client, model="claude-opus-9"))
        await note(413, await ask(client, system="x" * 3000))
        await note(415, await client.post(PATH, content=b"{}", headers={"content-type": "text/plain"}))
        await note(405, await client.get(PATH))
        await note(403, await ask_at(client, host="evil.example"))
        await note(431, await ask_at(client, **{"x-long": "x" * 70_000}))
        await note(404, await client.post(PATH + "/batches", json={}))
        assert seen[404] == ("not_found_error", seen[404][1]) and "no batches are stored" in seen[404][1]
        await note(404, await client.post(PATH + "/count_tokens%0a", json={}))
        engine.state = "draining"
        await note(503, await ask(client))
        elsewhere = await client.post("/v1/chat/completions", json={})
        assert "type" not in elsewhere.json() and "request-id" not in elsewhere.headers
    async with app_client(ending(), requests_per_minute=1) as client:
        await ask(client)
        await note(429, await ask(client))
    async with app_client(FakeEngine(limit=0)) as client:
        await note(400, await ask(client))
    assert {status: kind for status, (kind, _) in seen.items()} == {
        400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
        405: "invalid_request_error", 413: "request_too_large", 415: "invalid_request_error",
        429: "rate_limit_error", 431: "invalid_request_error", 503: "overloaded_error",
    }  # fmt: skip


async def ask_at(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post(PATH, json=ASK, headers=headers)


async def test_our_own_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    async with app_client(ending()) as client:
        monkeypatch.setattr("server.routes.messages.MessageAnswer", None)
        response = await ask(client)
    assert error_of(response).startswith("internal error")
    assert (response.status_code, response.json()["error"]["type"]) == (500, "api_error")


async def test_a_failing_stream_says_so() -> None:
    engine = ending()
    engine.fail_at = 3
    async with app_client(engine) as client:
        response = await client.post(PATH, json=ASK | {"stream": True}, headers={"x-request-id": "mine"})
    last = events_of(response)[-1]
    assert last == {
        "type": "error", "error": {"type": "overloaded_error", "message": "the engine died"}, "request_id": "mine",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "right"}, 200),
        ({"x-api-key": "wrong"}, 401),
        ({"x-api-key": ""}, 401),
        ({"authorization": "Bearer right"}, 200),
        ({"authorization": "Bearer wrong", "x-api-key": "right"}, 200),
        ({"authorization": "Bearer right", "x-api-key": "wrong"}, 200),
        ({"authorization": "right"}, 401),
    ],
)
async def test_keys(headers: dict[str, str], status: int) -> None:
    async with app_client(ending(), api_key="right") as client:
        for path in (PATH, PATH + "/count_tokens"):
            assert (await client.post(path, json=ASK, headers=headers)).status_code == status
        assert (await client.get("/v1/models", headers=headers)).status_code == status


async def test_tokens_are_charged_and_counting_is_not() -> None:
    async with app_client(ending(), tokens_per_minute=100) as client:
        prompt = len(b"user:hi\nassistant:")
        counted = await client.post(PATH + "/count_tokens", json=ASK)
        assert counted.headers["x-ratelimit-remaining-tokens"] == "100"
        await ask(client, max_tokens=5)
        counted = await client.post(PATH + "/count_tokens", json=ASK)
        assert counted.headers["x-ratelimit-remaining-tokens"] == str(100 - prompt - 5)


@pytest.mark.parametrize("name", ["fake/model", "fake/model:warm", None])
async def test_counting_knows_the_models(client: httpx.AsyncClient, name: str | None) -> None:
    response = await client.post(PATH + "/count_tokens", json={"messages": [TURN], "model": name})
    assert response.status_code == (404 if name == "fake/model:warm" else 200)


async def test_the_metrics_see_it(client: httpx.AsyncClient) -> None:
    await ask(client, objective_weights={"cheerful": 1}, max_tokens=3)
    await ask(client, model="x")
    told = (await client.get("/metrics")).text
    assert 'mavis:requests_by_objective_total{objective="cheerful"} 1.0' in told
    assert 'http_requests_total{handler="/v1/messages",method="POST",status="2xx"} 1.0' in told
    assert "model_not_found" in told
