"""``/v1/responses`` through the official client, with its own types validated strictly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from server.protocol.responses import ResponseObject
from tests.server.conftest import Live
from tests.server.fake_engine import SCRIPT, FakeEngine
from tests.server.tools import ARGUMENTS, CALL, PARAMETERS, TWO_CALLS

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TOOLS: list[Any] = [{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True},
                    {"type": "function", "name": "now", "parameters": None, "strict": None}]  # fmt: skip


def connect(live: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=live.url + "/v1", api_key="none", max_retries=0, _strict_response_validation=True)


def scripted(serve: Callable[..., Live], script: str = SCRIPT.decode()) -> Live:
    return serve(FakeEngine(max_model_len=4000, script=script.encode()))


def test_create(serve: Callable[..., Live]) -> None:
    live = scripted(serve)
    made = connect(live).responses.create(
        model="fake/model", input="hi", instructions="Be brief.", metadata={"a": "b"}, temperature=0.5,
        include=["message.output_text.logprobs"], top_logprobs=2, extra_body={"objective_weights": {"cheerful": 1}},
    )  # fmt: skip
    assert made.output_text == SCRIPT.decode()
    assert (made.status, made.error, made.instructions, made.metadata) == ("completed", None, "Be brief.", {"a": "b"})
    assert made.usage and made.usage.output_tokens == len(SCRIPT)
    guidance = made.model_extra["guidance"]  # type: ignore[index]
    assert guidance["kl_nats"] == pytest.approx(0.3 * len(SCRIPT))
    message: Any = made.output[0]
    assert len(message.content[0].logprobs) == len(SCRIPT)
    assert [t.token for t in message.content[0].logprobs[0].top_logprobs] == ["H", "z"]
    raw = connect(live).responses.with_raw_response.create(model="fake/model", input="hi").text
    ResponseObject.model_validate_json(raw)
    Response.model_validate_json(raw, strict=True)
    assert bytes(live.engine.requests[0].prompt_token_ids) == b"system:Be brief.\nuser:hi\nassistant:"


def test_a_limit_is_incomplete(live: Live) -> None:
    made = connect(live).responses.create(model="fake/model", input="hi", max_output_tokens=3)
    assert made.status == "incomplete"
    assert made.incomplete_details and made.incomplete_details.reason == "max_output_tokens"
    assert made.output[0].status == "incomplete"  # type: ignore[union-attr]


def test_a_conversation_with_calls(serve: Callable[..., Live]) -> None:
    live = scripted(serve, "so:" + TWO_CALLS)
    client = connect(live)
    first = client.responses.create(model="fake/model", input="weather?", tools=TOOLS)
    assert [item.type for item in first.output] == ["message", "function_call", "function_call"]
    call: Any = first.output[1]
    assert (call.name, call.arguments, call.status) == ("weather", ARGUMENTS, "completed")
    history: list[Any] = [{"role": "user", "content": "weather?"}]
    history += [item.model_dump(exclude_unset=True) for item in first.output]
    history += [{"type": "function_call_output", "call_id": item.call_id, "output": "rain"}
                for item in first.output if item.type == "function_call"]  # fmt: skip
    client.responses.create(model="fake/model", input=history)
    prompt = bytes(live.engine.requests[1].prompt_token_ids).decode()
    assert prompt.count("<tool_response>\nrain") == 2
    assert 'assistant:so:\n<tool_call>\n{"name": "weather"' in prompt


@pytest.mark.parametrize("script", [SCRIPT.decode(), CALL, "so:" + TWO_CALLS])
def test_stream(serve: Callable[..., Live], script: str) -> None:
    client = connect(scripted(serve, script))
    tools: dict[str, Any] = {"tools": TOOLS} if "tool_call" in script else {}
    events = list(client.responses.create(model="fake/model", input="hi", stream=True, top_logprobs=1, **tools))
    for event in events:
        EVENTS.validate_json(event.model_dump_json(exclude_unset=True), strict=True)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == [
        "response.created", "response.in_progress", "response.output_item.added",
    ]  # fmt: skip
    last: Any = events[-1]
    assert last.type == "response.completed"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == last.response.output_text
    with client.responses.stream(model="fake/model", input="hi", **tools) as stream:
        final = stream.get_final_response()
    assert [shape(item) for item in final.output] == [shape(item) for item in last.response.output]
    assert shape(final.output[-1])[1:] == (
        ("now", "{}") if "so" in script else ("weather", ARGUMENTS) if tools else (SCRIPT.decode(),)
    )


def shape(item: Any) -> tuple[str, ...]:
    return (item.type, item.content[0].text) if item.type == "message" else (item.type, item.name, item.arguments)


def test_parsed_output(serve: Callable[..., Live]) -> None:
    class City(BaseModel):
        name: str

    live = scripted(serve, '{"name": "Bonn"}')
    made = connect(live).responses.parse(model="fake/model", input="a city", text_format=City)
    assert made.output_parsed == City(name="Bonn")
    structure = live.engine.requests[0].sampling.structure
    assert structure and structure.kind == "json_schema" and '"name"' in structure.source


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_was_cut_is_incomplete_and_taken_back(serve: Callable[..., Live], stream: bool) -> None:
    """The script ends in the middle of a call, as a stop string ends an answer."""
    client = connect(serve(FakeEngine(max_model_len=4000, script=CALL[:51].encode())))
    asked: Any = {"model": "fake/model", "input": "weather?", "tools": TOOLS, "stream": stream}
    made: Any = client.responses.create(**asked)
    answer = list(made)[-1].response if stream else made
    (call,) = answer.output
    assert (answer.status, call.status, call.arguments) == ("completed", "incomplete", ARGUMENTS[:6])
    back: Any = [
        {"role": "user", "content": "weather?"},
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    assert client.responses.create(model="fake/model", input=back, tools=TOOLS).output


def test_a_failing_stream_says_so(serve: Callable[..., Live]) -> None:
    live = scripted(serve)
    live.engine.fail_at = 3
    events = list(connect(live).responses.create(model="fake/model", input="hi", stream=True))
    last: Any = events[-1]
    assert last.type == "response.failed"
    assert last.response.error.message == "the engine died"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}},
            "tool_choice.tools",
        ),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "compaction", "encrypted_content": "x"}]}, "input[1]"),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "input"),
        ({"input": [{"type": 5}]}, "input[0].type"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options"),
        ({"objective_weights": {"cheery": 1}}, "objective_weights"),
    ],
)
def test_refused_by_name(live: Live, body: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        connect(live).post("/responses", body={"input": "hi", **body}, cast_to=object)
    assert (refused.value.param or "").startswith(param)


@pytest.mark.parametrize("script", [SCRIPT.decode(), "", "so:" + CALL])
@pytest.mark.parametrize("stream", [False, True])
def test_the_token_that_ends_the_answer_has_a_logprob(serve: Callable[..., Live], script: str, stream: bool) -> None:
    """As in chat and text completions; calls have none, and so has what ends them."""
    client = connect(serve(FakeEngine(max_model_len=4000, script=script.encode(), ends=True)))
    tools: Any = {"tools": TOOLS} if "tool_call" in script else {}
    made: Any = client.responses.create(
        model="fake/model", input="hi", top_logprobs=0, stream=stream, include=["message.output_text.logprobs"], **tools
    )
    if stream:
        events = list(made)
        made = events[-1].response
        told = [t.token for e in events if e.type == "response.output_text.delta" for t in e.logprobs]
        assert told == [t.token for t in made.output[0].content[0].logprobs]
    tokens = [t.token for t in made.output[0].content[0].logprobs]
    said = "so:" if tools else script
    assert tokens == ([*said] if tools else [*said, "<eos>"])
    assert made.output_text == said
    if not tools:
        assert len(tokens) == made.usage.output_tokens


def test_nothing_is_stored(live: Live) -> None:
    client = connect(live)
    made = client.responses.create(model="fake/model", input="hi", store=True)
    for again in (client.responses.retrieve, client.responses.cancel, client.responses.delete):
        with pytest.raises(openai.NotFoundError) as refused:
            again(made.id)
        assert refused.value.code == "unsupported_endpoint"
