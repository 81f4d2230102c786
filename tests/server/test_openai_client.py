"""The official client, sync and async, against a live port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from server.protocol.chat import ChatCompletion, ChatCompletionChunk
from server.protocol.completions import Completion
from tests.server.conftest import USER, Live
from tests.server.fake_engine import CACHED, SCRIPT, FakeEngine

TEXT = SCRIPT.decode()


def connect(live: Live, key: str = "none", retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=live.url + "/v1", api_key=key, max_retries=retries)


def test_chat(live: Live) -> None:
    answer = connect(live).chat.completions.create(model="fake/model", messages=USER)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.refusal is None
    assert answer.choices[0].logprobs is None
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + len(SCRIPT)
    assert answer.usage.prompt_tokens_details
    assert answer.usage.prompt_tokens_details.cached_tokens == CACHED
    assert answer.id.startswith("chatcmpl-")
    assert answer.system_fingerprint
    ChatCompletion.model_validate_json(answer.model_dump_json(exclude_unset=True))


def test_chat_stream_is_guided(live: Live) -> None:
    stream = connect(live).chat.completions.create(
        model="fake/model",
        messages=USER,
        max_tokens=4,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"objective_weights": {"cheerful": 1}},
    )
    chunks = list(stream)
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(chunk.model_dump_json(exclude_unset=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 8
    assert chunks[-1].usage.prompt_tokens_details
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == CACHED
    assert all(chunk.usage is None for chunk in chunks[:-1])
    for index in (0, 1):
        mine = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == index]
        assert "".join(c.delta.content or "" for c in mine) == TEXT[:4]
        assert [c.finish_reason for c in mine] == [None] * 4 + ["length"]
        guidance = mine[-1].model_extra["guidance"]  # type: ignore[index]
        assert guidance["kl_nats"] == pytest.approx(1.2)
        assert guidance["kl_per_token"] == pytest.approx(0.3)
        assert guidance["values"] == {"cheerful": 2.0}
        assert guidance["source"] == "body"


@pytest.mark.parametrize("endpoint", ["chat", "text", "responses"])
def test_obfuscated_streams_do_not_tell_how_long_tokens_are(serve: Callable[..., Live], endpoint: str) -> None:
    script = b'"\n' + SCRIPT  # two that JSON writes with a backslash

    def sizes(client: openai.OpenAI, on: bool) -> tuple[str, set[int]]:
        """The text, and how long the pieces are that carry one token each."""
        options: Any = {"model": "fake/model", "stream": True, "stream_options": {"include_obfuscation": on}}
        if endpoint == "responses":
            events = list(client.responses.create(input="hi", **options))
            deltas: list[Any] = [event for event in events if event.type == "response.output_text.delta"]
            texts = [event.delta for event in deltas]
            lengths = [len(event.model_dump_json()) - len(str(event.sequence_number)) for event in deltas]
        else:
            if endpoint == "chat":
                chunks: list[Any] = list(client.chat.completions.create(messages=USER, **options))[1:-1]
                texts = [chunk.choices[0].delta.content for chunk in chunks]
            else:
                chunks = list(client.completions.create(prompt="hi", **options))[:-1]
                texts = [chunk.choices[0].text for chunk in chunks]
            lengths = [len(chunk.model_dump_json(exclude_unset=True)) for chunk in chunks]
            for chunk in chunks:
                kind = ChatCompletionChunk if endpoint == "chat" else Completion
                kind.model_validate_json(chunk.model_dump_json(exclude_unset=True))
        return "".join(texts), set(lengths)

    client = connect(serve(FakeEngine(script=script)))
    plain, shown = sizes(client, False)
    padded, hidden = sizes(client, True)
    assert plain == padded
    assert script.decode().startswith(plain)
    assert (len(shown), len(hidden)) == (2, 1)


async def test_async_stream(live: Live) -> None:
    client = openai.AsyncOpenAI(base_url=live.url + "/v1", api_key="none")
    stream = await client.chat.completions.create(model="fake/model", messages=USER, stream=True)
    assert "".join([c.choices[0].delta.content or "" async for c in stream]) == TEXT
    await client.close()


def test_logprobs(live: Live) -> None:
    answer = connect(live).chat.completions.create(
        model="fake/model", messages=USER, max_tokens=2, logprobs=True, top_logprobs=3
    )
    first = answer.choices[0].logprobs.content[0]  # type: ignore[union-attr, index]
    assert (first.token, first.bytes, first.logprob) == ("H", [ord("H")], -0.5)
    assert [t.bytes for t in first.top_logprobs][2] == [0xE2]  # half a character keeps its byte


def test_completions(live: Live) -> None:
    client = connect(live)
    answer = client.completions.create(
        model="fake/model", prompt=["ab", "cd"], n=2, max_tokens=3, logprobs=2, extra_body={"min_tokens": 1}
    )
    assert [c.index for c in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[3].text == TEXT[:3]
    assert answer.choices[0].logprobs
    assert answer.choices[0].logprobs.text_offset == [0, 1, 2]
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 12)
    Completion.model_validate_json(answer.model_dump_json(exclude_unset=True))
    echoed = client.completions.create(model="fake/model", prompt=[104, 105], echo=True, max_tokens=1)
    assert echoed.choices[0].text == "hi" + TEXT[0]
    parts = client.completions.create(model="fake/model", prompt=["ab", "cd"], echo=True, stream=True, max_tokens=2)
    texts = {0: "", 1: ""}
    for part in parts:
        Completion.model_validate_json(part.model_dump_json(exclude_unset=True))
        texts[part.choices[0].index] += part.choices[0].text
    assert texts == {0: "ab" + TEXT[:2], 1: "cd" + TEXT[:2]}


def test_models(live: Live) -> None:
    client = connect(live)
    assert [m.id for m in client.models.list()] == ["fake/model"]
    assert client.models.retrieve("fake/model").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_typed_exceptions(serve: Callable[..., Live]) -> None:
    engine = FakeEngine()
    live = serve(engine, api_key="right,also-right")
    client = connect(live, "also-right")

    def ask(client: openai.OpenAI = client, model: str = "fake/model", **more: object) -> None:
        client.chat.completions.create(model=model, messages=USER, **more)  # type: ignore[call-overload]

    with pytest.raises(openai.BadRequestError) as bad:
        ask(extra_body={"objective_weights": {"cheery": 1}})
    assert bad.value.param == "objective_weights"
    assert "cheerful" in bad.value.message
    with pytest.raises(openai.AuthenticationError):
        ask(connect(live, "wrong"))
    with pytest.raises(openai.NotFoundError) as missing:
        ask(model="gpt-9")
    assert missing.value.code == "model_not_found"
    engine.limit = 1
    engine.running.add("another")
    with pytest.raises(openai.RateLimitError) as full:
        ask()
    assert full.value.response.headers["retry-after"] == "1"
    with pytest.raises(openai.RateLimitError):
        ask(stream=True)
    engine.state = "draining"
    with pytest.raises(openai.InternalServerError) as down:
        ask()
    assert down.value.status_code == 503


def test_error_in_the_middle_of_a_stream(live: Live) -> None:
    live.engine.fail_at = 3
    stream = connect(live).chat.completions.create(model="fake/model", messages=USER, stream=True)
    seen = [next(stream).choices[0].delta.content for _ in range(4)]
    assert seen == ["", *TEXT[:3]]
    with pytest.raises(openai.APIError, match="the engine died"):
        next(stream)
