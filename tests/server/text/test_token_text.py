"""Tokens as answers tell them: for every kind of vocabulary their bytes are the bytes of the text, and offsets its."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from transformers import PreTrainedTokenizerFast

from mavis_core.api.messages import ChoiceDelta, Request, RequestOutput, TokenLogprobs, TokenReport
from mavis_core.text.running_text import RunningText
from mavis_core.text.token_bytes import token_bytes_of
from server.app import create_app
from server.settings import Settings
from server.text.token_text import TokenText
from tests.server.fake_engine import FakeEngine
from tests.vocabularies import KINDS

TEMPLATE = "{% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}"
ANSWER = "the a 😀 né\nthe"


@cache
def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    made = KINDS[kind]()
    made.chat_template = TEMPLATE
    return made


class Spelled(FakeEngine):
    """Says ``tokens``; at each place "the" with and without a space are alternatives."""

    def __init__(self, kind: str, tokens: Sequence[int]) -> None:
        super().__init__()
        self._tokenizer, self._tokens = tokenizer(kind), tokens
        self._info = replace(self._info, vocab_size=len(self._tokenizer))
        vocabulary = self._tokenizer.get_vocab()
        self._top = tuple((vocabulary[t], -1.0 - i) for i, t in enumerate(("▁the", "the", "Ġthe")) if t in vocabulary)

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        prompt = request.prompt_token_ids
        text = RunningText(token_bytes_of(self._tokenizer.backend_tokenizer), True, prompt)
        scored = (None, *(TokenLogprobs(i, -0.5, self._top, -0.5) for i in prompt[1:]))
        wanted = request.sampling.prompt_logprobs is not None
        for i, token in enumerate(self._tokens):
            last = i == len(self._tokens) - 1
            logprobs = TokenLogprobs(token, -0.5, self._top, -0.5)
            report = TokenReport(token, -0.5, -0.5, 0.0, 0.0, {})
            shown = text.add(token) + (text.close() if last else "")
            delta = ChoiceDelta(0, shown, (token,), (logprobs,), (report,), "length" if last else None)
            told = scored if wanted and i == 0 else None
            yield RequestOutput(request.id, len(prompt), (delta,), last, prompt_logprobs=told)


async def asked(kind: str, path: str, tokens: Sequence[int], **body: Any) -> list[dict[str, Any]]:
    """The choices: one where the answer is whole, one per chunk of a stream."""
    settings = Settings(database=SecretStr("sqlite://"), allowed_hosts=("*",))
    app = create_app(settings, Spelled(kind, tokens), lambda: tokenizer(kind))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            response = await client.post(path, json=body)
            assert response.status_code == 200, response.text
            if not body.get("stream"):
                choices: list[dict[str, Any]] = response.json()["choices"]
                return choices
            lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
            return [choice for line in lines[:-1] for choice in orjson.loads(line)["choices"]]


def encoded(kind: str, text: str) -> list[int]:
    ids: list[int] = tokenizer(kind).encode(text, add_special_tokens=False)
    return ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("question", ["", "the"])
@pytest.mark.parametrize("stream", [False, True])
async def test_chat_tokens_join_to_the_answer(kind: str, question: str, stream: bool) -> None:
    """Behind nothing but <s>, where the first word has no space, and behind a word."""
    user = [{"role": "user", "content": question}]
    body: dict[str, Any] = {"messages": user, "logprobs": True, "top_logprobs": 3, "stream": stream}
    choices = await asked(kind, "/v1/chat/completions", encoded(kind, ANSWER), **body)
    text = "".join((c.get("message") or c["delta"]).get("content") or "" for c in choices)
    told = [position for c in choices if c["logprobs"] for position in c["logprobs"]["content"]]
    assert text.lstrip() == tokenizer(kind).decode(encoded(kind, ANSWER)).lstrip()
    assert text.startswith(" ") == (kind != "byte_level" and question != "")
    assert b"".join(bytes(t["bytes"]) for t in told) == text.encode()
    for position in told[1:]:
        names = [t["token"] for t in position["top_logprobs"]]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["a the", "", "ids"])
async def test_offsets_are_places_in_the_text(kind: str, stream: bool, prompt: str) -> None:
    """With the prompt before it, as it was sent or as ids: <s> is no part of the first, spelled out in the second."""
    ids = [tokenizer(kind).bos_token_id, *encoded(kind, "a the")]
    sent = ids if prompt == "ids" else prompt or ids[:1]
    body: dict[str, Any] = {"prompt": sent, "echo": bool(prompt), "logprobs": 3}
    choices = await asked(kind, "/v1/completions", encoded(kind, ANSWER), stream=stream, **body)
    text = "".join(c["text"] for c in choices)
    told = [c["logprobs"] for c in choices if c["logprobs"]]
    tokens, offsets, tops = ([x for t in told for x in t[name]] for name in ("tokens", "text_offset", "top_logprobs"))
    assert offsets == sorted(offsets)
    for token, begin, end in zip(tokens, offsets, [*offsets[1:], len(text)], strict=True):
        absent = token == "<s>" and not text.startswith("<s>")  # what the tokenizer puts before the text
        assert token.startswith("bytes:") or ("" if absent else token) == text[begin:end]
    assert (tokens[0] == "<s>") == (kind == "byte_fallback" or prompt == "ids") or not prompt
    assert all({"the", " the"} <= top.keys() for top in tops[2:] if top) or kind != "byte_fallback"


@pytest.mark.parametrize("kind", KINDS)
async def test_special_tokens_count_in_an_echo_where_it_has_them(kind: str) -> None:
    body: dict[str, Any] = {"prompt": "a</s> the", "echo": True, "logprobs": 0}
    [choice] = await asked(kind, "/v1/completions", encoded(kind, "a"), **body)
    told = choice["logprobs"]
    at = told["tokens"].index("</s>")
    assert told["text_offset"][at : at + 2] == [1, 5]
    assert choice["text"].startswith("a</s> the")


@pytest.mark.parametrize("kind", KINDS)
async def test_prompt_logprobs_and_reports_keep_spaces(kind: str) -> None:
    prompt = [tokenizer(kind).bos_token_id, *encoded(kind, "a the a")]
    body: dict[str, Any] = {"prompt": prompt, "prompt_logprobs": 0, "objective_weights": {"cheerful": 1}}
    [choice] = await asked(kind, "/v1/completions", encoded(kind, "a the"), guidance={"report": True}, **body)
    told = [next(iter(position.values()))["decoded_token"] for position in choice["prompt_logprobs"][1:]]
    assert "".join(told) == "a the a"
    assert "".join(t["token"] for t in choice["guidance"]["tokens"]) == choice["text"]


def test_half_characters_keep_their_bytes() -> None:
    reading = TokenText(tokenizer("byte_fallback")).reading(skip_special_tokens=True)
    tokens = encoded("byte_fallback", "😀")[-4:]
    assert [reading.bytes_of(token) for token in tokens] == [bytes([b]) for b in "😀".encode()]
    assert reading.text_of(tokens[0]) == "\N{REPLACEMENT CHARACTER}"
    assert reading.visible(tokenizer("byte_fallback").eos_token_id) == ""
    assert reading.text_of(tokenizer("byte_fallback").eos_token_id) == "</s>"
