"""Dialects over HTTP: what the model is held to, what its text is told as, and what comes back in the next turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from server.protocol.chat import ChatCompletion, ChatCompletionChunk
from server.protocol.responses import ResponseObject
from tests.server.conftest import USER, Live, make_app
from tests.server.fake_engine import FakeEngine
from tests.server.test_openai_client import connect
from tests.server.tools import ARGUMENTS, CALL, TOOLS

THINKS = (
    "{% for m in messages %}{{ m.role }}:{{ m.reasoning_content }}|{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n{% else %}<think>\n{% endif %}{% endif %}"
)
MISTRAL = (
    "{% for t in tools %}{{ t | tojson }}{% endfor %}"
    "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ m.tool_call_id }}{% for c in m.tool_calls %}"
    "[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}{{ c.id }}"
    "{% endfor %}\n{% endfor %}"
)
THOUGHT = "The user greets.\nSo do I."
SCRIPT = f"{THOUGHT}\n</think>\n\nHello!"
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


async def ask(engine: FakeEngine, template: str, settings: dict[str, Any] | None = None, **body: Any) -> Any:
    app = make_app(engine, tokenizer_template=template, **settings or {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        answer = await client.post("/v1/chat/completions", json={"messages": USER, **body})
    assert answer.status_code == 200, answer.text
    if not body.get("stream"):
        return answer.json()
    return [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]


def scripted(script: str, **more: Any) -> FakeEngine:
    return FakeEngine(max_model_len=4000, script=script.encode(), **more)


async def test_reasoning_is_told_apart() -> None:
    answer = await ask(scripted(SCRIPT), THINKS, n=2, logprobs=True)
    ChatCompletion.model_validate(answer)
    for choice in answer["choices"]:
        message = choice["message"]
        assert (message["reasoning"], message["reasoning_content"]) == (THOUGHT, THOUGHT)
        assert message["content"] == "Hello!"
        assert len(choice["logprobs"]["content"]) == len(SCRIPT)
    details = answer["usage"]["completion_tokens_details"]
    assert details == {"reasoning_tokens": 2 * len(f"{THOUGHT}\n</think>")}


async def test_streamed() -> None:
    chunks = await ask(scripted(SCRIPT), THINKS, stream=True, stream_options={"include_usage": True})
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("reasoning") or "" for delta in deltas) == THOUGHT
    assert all(delta.get("reasoning") == delta.get("reasoning_content") for delta in deltas)
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello!"
    last_thought = max(i for i, delta in enumerate(deltas) if "reasoning" in delta)
    assert all(not delta.get("content") for delta in deltas[:last_thought])
    assert chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == len(f"{THOUGHT}\n</think>")


async def test_an_answer_cut_inside_its_reasoning_is_all_reasoning() -> None:
    choice = (await ask(scripted(SCRIPT), THINKS, max_tokens=10))["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", None)
    assert choice["message"]["reasoning"] == SCRIPT[:10].strip()
    stopped = (await ask(scripted(SCRIPT), THINKS, stop="greets"))["choices"][0]
    assert (stopped["finish_reason"], stopped["message"]["reasoning"]) == ("stop", "The user")


async def test_who_is_told_not_to_think_does_not() -> None:
    engine = scripted("Hello </think>!")
    for body in ({"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_effort": "none"}):
        answer = await ask(engine, THINKS, **body)
        message = answer["choices"][0]["message"]
        assert message["content"] == "Hello </think>!" and "reasoning" not in message
        assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}
        assert engine.requests[-1].sampling.reasoning is None


async def test_the_engine_knows_and_structures_are_as_they_were() -> None:
    engine = scripted(SCRIPT)
    await ask(engine, THINKS, response_format={"type": "json_object"})
    sampling = engine.requests[0].sampling
    assert sampling.reasoning and (sampling.reasoning.end, sampling.reasoning.opened) == ("</think>", True)
    assert sampling.structure and sampling.structure.source == '{"type":"object"}'


async def test_it_can_be_left_out() -> None:
    message = (await ask(scripted(SCRIPT), THINKS, include_reasoning=False))["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "Hello!", "refusal": None}
    chunks = await ask(scripted(SCRIPT), THINKS, include_reasoning=False, stream=True)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.pop("content", None) or "" for delta in deltas) == "Hello!"
    assert all(delta in ({}, {"role": "assistant"}) for delta in deltas)


async def test_reasoning_goes_back_to_templates_that_show_it() -> None:
    engine = scripted(SCRIPT)
    for field in ("reasoning", "reasoning_content"):
        echoed = {"role": "assistant", "content": "Hello!", field: THOUGHT}
        await ask(engine, THINKS, messages=[*USER, echoed, *USER])
        assert f"assistant:{THOUGHT}|Hello!\n".encode() in bytes(engine.requests[-1].prompt_token_ids)
    await ask(engine, THINKS, messages=[*USER, {"role": "assistant", "content": "Hi", "reasoning": [{}]}, *USER])


async def test_without_marks_nothing_is_taken_out() -> None:
    plain = "{% for m in messages %}{{ m.content }}{% endfor %}"
    message = (await ask(scripted(SCRIPT), plain))["choices"][0]["message"]
    assert message == {"role": "assistant", "content": SCRIPT, "refusal": None}
    message = (await ask(scripted(SCRIPT), THINKS, {"reasoning_parser": "none"}))["choices"][0]["message"]
    assert message["content"] == SCRIPT
    message = (await ask(scripted(SCRIPT), plain, {"reasoning_parser": "deepseek_r1"}))["choices"][0]["message"]
    assert (message["reasoning"], message["content"]) == (THOUGHT, "Hello!")


@pytest.mark.parametrize("tool_choice", ["auto", "required", {"type": "function", "function": {"name": "weather"}}])
async def test_calls_behind_reasoning(tool_choice: Any) -> None:
    said = ARGUMENTS if isinstance(tool_choice, dict) else CALL
    answer = await ask(scripted(f"hm <tool_call></think>\n{said}"), THINKS, tools=TOOLS, tool_choice=tool_choice)
    message = answer["choices"][0]["message"]
    assert (message["reasoning"], message["content"]) == ("hm <tool_call>", None)
    (call,) = message["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": ARGUMENTS}
    cut = await ask(scripted("hm hm"), THINKS, tools=TOOLS, tool_choice=tool_choice, max_tokens=3)
    assert "tool_calls" not in cut["choices"][0]["message"]


async def test_another_form() -> None:
    text = f"[TOOL_CALLS]weather[ARGS]{ARGUMENTS}[TOOL_CALLS]now[ARGS]{{}}"
    engine = scripted(text)
    answer = await ask(engine, MISTRAL, tools=TOOLS)
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    calls = choice["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"name": "weather", "arguments": ARGUMENTS}, {"name": "now", "arguments": "{}"}
    ]  # fmt: skip
    structure = engine.requests[0].sampling.structure
    assert structure and '"[TOOL_CALLS]"' in structure.source and "weather[ARGS]" in structure.source
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in calls]
    other = {"id": "call_elsewhere", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    history = [*USER, choice["message"], *results, {"role": "assistant", "tool_calls": [other]},
               {"role": "tool", "tool_call_id": "call_elsewhere", "content": "noon"}]  # fmt: skip
    await ask(engine, MISTRAL, tools=TOOLS, messages=history)
    prompt = bytes(engine.requests[-1].prompt_token_ids).decode()
    for call in calls:
        assert prompt.count(call["id"]) == 2, "in the call and in its result"
    assert "call_elsewhere" not in prompt, "its template takes ids of nine letters and digits"


async def test_a_form_that_is_told_is_shown_and_read() -> None:
    """Also where the template shows no tools: they are written in words, in this form."""
    plain = "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}"
    engine = scripted('[weather(city="Bonn")]')
    told = {"tool_call_parser": "pythonic"}
    first = (await ask(engine, plain, told, tools=TOOLS))["choices"][0]["message"]
    assert first["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Bonn"}'}
    await ask(engine, plain, told, tools=TOOLS, messages=[*USER, first])
    prompt = bytes(engine.requests[-1].prompt_token_ids).decode()
    assert "like this:\n[name(argument=value)]" in prompt
    assert 'assistant:[weather(city="Bonn")]\n' in prompt


def test_the_official_client_reads_it(serve: Callable[..., Live]) -> None:
    live = serve(scripted(f"{THOUGHT}</think>{CALL}"), tokenizer_template=THINKS)
    client = connect(live)
    asked: Any = {"model": "fake/model", "messages": USER, "tools": TOOLS}
    message: Any = client.chat.completions.create(**asked).choices[0].message
    with client.chat.completions.stream(**asked) as stream:
        streamed: Any = stream.get_final_completion().choices[0]
    for one in (message, streamed.message):
        assert one.reasoning_content == THOUGHT
        assert [(c.function.name, c.function.arguments) for c in one.tool_calls] == [("weather", ARGUMENTS)]
    assert streamed.finish_reason == "tool_calls"
    again: Any = [*USER, message.model_dump(exclude_none=True)]
    again.append({"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"})
    assert client.chat.completions.create(**asked | {"messages": again}).choices[0].message.content is None


@pytest.mark.parametrize("cut", [None, 10])
def test_responses_have_a_reasoning_item(serve: Callable[..., Live], cut: int | None) -> None:
    live = serve(scripted(SCRIPT), tokenizer_template=THINKS)
    client = openai.OpenAI(base_url=live.url + "/v1", api_key="none", _strict_response_validation=True)
    asked: Any = {"model": "fake/model", "input": "hi", "max_output_tokens": cut, "top_logprobs": 0,
                  "include": ["message.output_text.logprobs"]}  # fmt: skip
    raw = client.responses.with_raw_response.create(**asked)
    ResponseObject.model_validate_json(raw.text)
    made: Any = raw.parse()
    thought, *said = made.output
    expected = THOUGHT if cut is None else SCRIPT[:cut].strip()
    assert (thought.type, thought.summary, thought.content[0].text) == ("reasoning", [], expected)
    assert thought.status == ("completed" if cut is None else "incomplete")
    assert made.usage.output_tokens_details.reasoning_tokens == (cut or len(f"{THOUGHT}\n</think>"))
    assert [item.content[0].text for item in said] == ([] if cut else ["Hello!"])
    if said:
        assert "".join(one.token for one in said[0].content[0].logprobs).strip() == "Hello!"
    events: Any = list(client.responses.create(**asked, stream=True))
    for event in events:
        EVENTS.validate_python(event.model_dump(exclude_unset=True), strict=False)
    kinds = [event.type for event in events]
    assert kinds[2:5] == ["response.output_item.added", "response.content_part.added", "response.reasoning_text.delta"]
    deltas = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert "".join(deltas) == expected
    (done,) = [event for event in events if event.type == "response.reasoning_text.done"]
    assert done.text == expected
    assert [item.type for item in events[-1].response.output] == [item.type for item in made.output]
