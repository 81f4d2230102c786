"""Streamed tool calls as the official client puts them together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from server.protocol.chat import ChatCompletionChunk
from tests.server.conftest import USER, Live
from tests.server.fake_engine import FakeEngine
from tests.server.test_openai_client import connect
from tests.server.tools import ARGUMENTS, CALL, TOOLS, TWO_CALLS


@pytest.mark.parametrize(
    ("script", "choice", "finish", "content", "calls"),
    [
        ("so:" + TWO_CALLS, "auto", "tool_calls", "so:", [("weather", ARGUMENTS), ("now", "{}")]),
        (CALL, "required", "tool_calls", None, [("weather", ARGUMENTS)]),
        (ARGUMENTS, {"type": "function", "function": {"name": "weather"}}, "stop", None, [("weather", ARGUMENTS)]),
    ],
)
def test_streamed_calls(
    serve: Callable[..., Live], script: str, choice: Any, finish: str, content: str | None, calls: Any
) -> None:
    client = connect(serve(FakeEngine(max_model_len=4000, script=script.encode())))
    asked: dict[str, Any] = {
        "model": "fake/model", "messages": USER, "tools": TOOLS, "tool_choice": choice, "logprobs": True,
    }  # fmt: skip
    chunks = list(client.chat.completions.create(**asked, stream=True))
    first_of: dict[int, Any] = {}
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(chunk.model_dump_json(exclude_unset=True))
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.index not in first_of:
                assert call.id and call.type == "function" and call.function.arguments == ""
                first_of[call.index] = call.function.name
            else:
                assert call.id is None and call.function.name is None
    assert list(first_of.values()) == [name for name, _ in calls]
    assert sum(len(c.choices[0].logprobs.content) for c in chunks if c.choices[0].logprobs) == len(script)
    with client.chat.completions.stream(**asked) as stream:
        answer: Any = stream.get_final_completion().choices[0]
    assert (answer.finish_reason, answer.message.content) == (finish, content)
    assert [(c.function.name, c.function.arguments) for c in answer.message.tool_calls] == calls


def test_a_cut_call_keeps_what_it_has(serve: Callable[..., Live]) -> None:
    client = connect(serve(FakeEngine(max_model_len=4000, script=CALL.encode())))
    answer = client.chat.completions.create(
        model="fake/model", messages=USER, tools=TOOLS, tool_choice="required", max_tokens=60
    ).choices[0]
    assert answer.finish_reason == "length"
    assert answer.message.tool_calls
    call: Any = answer.message.tool_calls[0]
    assert call.function.name == "weather"
    assert ARGUMENTS.startswith(call.function.arguments) and call.function.arguments != ARGUMENTS
