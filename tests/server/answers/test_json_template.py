"""Events that are filled in are, byte for byte, those that are encoded each anew."""

from __future__ import annotations

import re
from typing import Any

import httpx
import orjson
import pytest

from server.answers.completions import CompletionsAnswer
from server.answers.json_template import JsonTemplate
from tests.server.conftest import USER, make_app
from tests.server.dialects.test_served import THINKS
from tests.server.fake_engine import TOOL_TEMPLATE, FakeEngine
from tests.server.tools import CALL, TOOLS

SAID = 'Hi "you"\\ <b>\t\n\x01é — 水🐈\u2028 </s>'
THOUGHT = f"hm\nso {SAID}</think>\n\n{SAID}"
CHAT: dict[str, Any] = {"messages": USER}


@pytest.mark.parametrize("text", ["", "a", '"', "\\", "\n", "\u2028", "\x00\x1f\x7f", "水🐈", '"text":""'])
def test_filling_in_is_encoding(text: str) -> None:
    def encode(said: str) -> bytes:
        return b"data: " + orjson.dumps({"a": [said, {"b": said}], "c": '"', "d": None}) + b"\n\n"

    assert JsonTemplate(encode).fill(text) == encode(text)


def test_a_text_with_a_lone_surrogate_is_refused_as_ever() -> None:
    with pytest.raises(TypeError, match="surrogates not allowed"):
        JsonTemplate(orjson.dumps).fill("\ud800")


async def streamed(template: str, script: str, path: str, body: dict[str, Any]) -> bytes:
    """A stream's bytes without ids and times, of which no two are alike."""
    app = make_app(FakeEngine(max_model_len=4000, script=script.encode()), tokenizer_template=template)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        answer = await client.post(f"/v1/{path}", json={**body, "stream": True})
    assert answer.status_code == 200, answer.text
    return re.sub(rb'"(id|created)":("[^"]*"|\d+)', rb'"\1":0', answer.content)


@pytest.mark.parametrize(
    ("template", "script", "path", "body"),
    [
        (TOOL_TEMPLATE, SAID, "chat/completions", {**CHAT, "n": 2, "stream_options": {"include_usage": True}}),
        (TOOL_TEMPLATE, SAID, "chat/completions", {**CHAT, "objective_weights": {"cheerful": 1}, "stop": ["—"]}),
        (TOOL_TEMPLATE, SAID, "chat/completions", {**CHAT, "return_token_ids": True}),
        (TOOL_TEMPLATE, f"Look: {CALL}", "chat/completions", {**CHAT, "tools": TOOLS}),
        (THINKS, THOUGHT, "chat/completions", CHAT),
        (TOOL_TEMPLATE, SAID, "completions", {"prompt": ["a", "b"], "n": 2, "echo": True}),
        (TOOL_TEMPLATE, SAID, "completions", {"prompt": "a", "stop": ["so"], "max_tokens": 60}),
    ],
)
async def test_a_stream_is_the_same_as_without_templates(
    template: str, script: str, path: str, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[bytes] = []
    fill = JsonTemplate.fill

    def noted(template: JsonTemplate, text: str) -> bytes:
        filled.append(fill(template, text))
        return filled[-1]

    monkeypatch.setattr(JsonTemplate, "fill", noted)
    fast = await streamed(template, script, path, body)
    assert bool(filled) == (not body.get("return_token_ids"))
    monkeypatch.setattr(
        CompletionsAnswer, "_part_chunk", lambda self, choice, part: self._chunk([self._shape(choice, part)])
    )
    assert fast == await streamed(template, script, path, body)


@pytest.mark.parametrize(
    "options", [{"continuous_usage_stats": True, "include_usage": True}, {"include_obfuscation": True}]
)
async def test_chunks_that_differ_in_more_than_their_text_are_encoded_each(options: dict[str, Any]) -> None:
    content = await streamed(TOOL_TEMPLATE, "Hello", "chat/completions", {**CHAT, "stream_options": options})
    chunks = [orjson.loads(event[6:]) for event in content.split(b"\n\n") if event.startswith(b"data: {")]
    if "include_usage" in options:
        counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
        assert counts == sorted(counts) and counts[1:4] == [1, 2, 3]
    else:
        assert len({chunk["obfuscation"] for chunk in chunks[1:-1]}) == len(chunks) - 2
