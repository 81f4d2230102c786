"""Anthropic's official client, sync and async, against a live port, with its own types validated strictly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from server.client import guidance_of, with_weights
from tests.server.conftest import Live
from tests.server.fake_engine import CACHED, SCRIPT, FakeEngine
from tests.server.messages import CLAUDE_CODE, TOOLS, TURN
from tests.server.tools import ARGUMENTS, CALL, TWO_CALLS

anthropic = pytest.importorskip("anthropic")
TEXT = SCRIPT.decode()
ASK: dict[str, Any] = {"model": "fake/model", "max_tokens": 500, "messages": [TURN]}


def connect(live: Live, **options: Any) -> Any:
    given = {"api_key": "none", "max_retries": 0, "_strict_response_validation": True} | options
    return anthropic.Anthropic(base_url=live.url, **given)


def ending(serve: Callable[..., Live], script: str = TEXT, **settings: Any) -> Live:
    return serve(FakeEngine(max_model_len=8000, script=script.encode(), ends=True), **settings)


def test_create(serve: Callable[..., Live]) -> None:
    live = ending(serve)
    client = connect(live)
    model = connect(live, _strict_response_validation=False).models.list().data[0].id  # the list is OpenAI's
    made = client.messages.create(**ASK | {"model": model}, extra_body={"objective_weights": {"cheerful": 1}})
    assert (made.content[0].text, made.stop_reason, made.stop_sequence) == (TEXT, "end_turn", None)
    assert made.usage.cache_read_input_tokens == CACHED
    assert made.usage.input_tokens + CACHED == len(live.engine.requests[0].prompt_token_ids)
    assert made.usage.output_tokens == len(TEXT) + 1
    assert made._request_id
    steered = guidance_of(made)
    assert steered and steered.source == "body" and steered.kl_nats == pytest.approx(0.3 * len(TEXT) + 0.3)


def test_a_header_steers(serve: Callable[..., Live]) -> None:
    client = with_weights(connect(ending(serve)), {"concise": 1})
    steered = guidance_of(client.messages.create(**ASK))
    assert steered and (steered.source, steered.weights) == ("header", {"concise": 1})


@pytest.mark.parametrize("script", [TEXT, CALL, "so:" + TWO_CALLS, ""])
def test_stream(serve: Callable[..., Live], script: str) -> None:
    client = connect(ending(serve, script))
    asked = ASK | {"tools": TOOLS}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert [told(block) for block in final.content] == [told(block) for block in whole.content]
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    events = list(client.messages.create(**asked, stream=True))
    (steered,) = [event.model_extra["guidance"] for event in events if event.type == "message_delta"]
    assert steered["source"] == "none"


def told(block: Any) -> tuple[Any, ...]:
    return (block.type, block.text) if block.type == "text" else (block.type, block.name, block.input)


@pytest.mark.parametrize("how", ["create", "stream"])
def test_three_turns_with_tools(serve: Callable[..., Live], how: str) -> None:
    live = ending(serve, "so:" + TWO_CALLS)
    client = connect(live)
    turns: list[Any] = [TURN]
    for _ in range(3):
        asked = ASK | {"tools": TOOLS, "messages": turns, "system": "Use tools."}
        if how == "stream":
            with client.messages.stream(**asked) as stream:
                made = stream.get_final_message()
        else:
            made = client.messages.create(**asked)
        assert made.stop_reason == "tool_use"
        used = [block for block in made.content if block.type == "tool_use"]
        assert [(block.name, block.input) for block in used] == [("weather", orjson.loads(ARGUMENTS)), ("now", {})]
        results = [{"type": "tool_result", "tool_use_id": block.id, "content": "rain"} for block in used]
        turns += [{"role": "assistant", "content": made.content}, {"role": "user", "content": results}]
    prompts = [bytes(request.prompt_token_ids).decode() for request in live.engine.requests]
    assert [prompt.count("<tool_response>\nrain") for prompt in prompts] == [0, 2, 4]
    assert all(prompt.startswith("system:Use tools.\n") for prompt in prompts)


def test_the_tool_runner_runs_them(serve: Callable[..., Live]) -> None:
    live = ending(serve, CALL)
    asked: list[str] = []

    @anthropic.beta_tool  # type: ignore[untyped-decorator]
    def weather(city: str) -> str:
        """Of a city.

        Args:
            city: which.
        """
        asked.append(city)
        return "rain"

    list(connect(live).beta.messages.tool_runner(**ASK, tools=[weather], max_iterations=3))
    assert asked and set(asked) == {orjson.loads(ARGUMENTS)["city"]}
    prompts = [bytes(request.prompt_token_ids).decode() for request in live.engine.requests]
    assert [prompt.count("<tool_response>\nrain") for prompt in prompts] == list(range(len(prompts)))
    assert len(prompts) > 1


def test_parsed_output(serve: Callable[..., Live]) -> None:
    import pydantic

    class City(pydantic.BaseModel):
        name: str

    live = ending(serve, '{"name": "Bonn"}')
    made = connect(live).messages.parse(**ASK, output_format=City)
    assert made.parsed_output == City(name="Bonn")
    structure = live.engine.requests[0].sampling.structure
    assert structure and structure.kind == "json_schema" and '"name"' in structure.source


def test_count_tokens(serve: Callable[..., Live]) -> None:
    live = ending(serve)
    client = connect(live)
    asked = {"model": "fake/model", "messages": [TURN], "system": "s", "tools": TOOLS}
    counted = client.messages.count_tokens(**asked).input_tokens
    client.messages.create(**asked, max_tokens=1)
    assert counted == len(live.engine.requests[0].prompt_token_ids)


def test_claude_code(serve: Callable[..., Live]) -> None:
    client = connect(ending(serve, CALL.replace("weather", "Read")))
    with client.beta.messages.stream(**{key: value for key, value in CLAUDE_CODE.items() if key != "stream"}) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.content[0].name) == ("tool_use", "Read")


def test_errors(serve: Callable[..., Live]) -> None:
    live = ending(serve, api_key="right")
    with pytest.raises(anthropic.AuthenticationError) as denied:
        connect(live).messages.create(**ASK)
    assert denied.value.body["error"]["type"] == "authentication_error"
    assert denied.value.request_id == denied.value.body["request_id"]
    for right in ({"api_key": "right"}, {"api_key": None, "auth_token": "right"}):
        client = connect(live, **right)
        assert client.messages.create(**ASK).content
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**ASK | {"model": "claude-opus-9"})
    with pytest.raises(
        anthropic.BadRequestError, match=r"messages\[0\]\.content\[0\] is 'image': the model reads text"
    ):
        client.messages.create(**ASK | {"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]}]})  # fmt: skip
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        client.messages.create(**ASK | {"system": "x" * 9000})
    live.engine.state = "draining"
    with pytest.raises(anthropic.InternalServerError) as draining:
        client.messages.create(**ASK)
    assert draining.value.body["error"]["type"] == "overloaded_error"


def test_limits_are_waited_for(serve: Callable[..., Live]) -> None:
    client = connect(ending(serve, requests_per_minute=1))
    client.messages.create(**ASK)
    with pytest.raises(anthropic.RateLimitError) as limited:
        client.messages.create(**ASK)
    assert int(limited.value.response.headers["retry-after"]) > 0


def test_a_failing_stream_says_so(serve: Callable[..., Live]) -> None:
    live = ending(serve)
    live.engine.fail_at = 3
    with pytest.raises(anthropic.APIStatusError, match="the engine died"):
        list(connect(live).messages.create(**ASK, stream=True))


async def test_async_and_leaving(serve: Callable[..., Live]) -> None:
    live = serve(FakeEngine(latency=0.01, max_model_len=8000))
    async with anthropic.AsyncAnthropic(base_url=live.url, api_key="none", max_retries=0) as client:
        async with client.messages.stream(**ASK) as stream:
            async for text in stream.text_stream:
                assert text in TEXT
                break
        live.wait_idle()
        assert len(live.engine.aborted) == 1
        made = await client.messages.create(**ASK | {"max_tokens": 3})
        assert (made.content[0].text, made.stop_reason) == (TEXT[:3], "max_tokens")
