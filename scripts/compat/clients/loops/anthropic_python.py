"""anthropic for Python: tools, streams and parsing over ``/v1/messages``."""

from __future__ import annotations

from typing import Any

import anthropic
from checks import MODEL, QUESTIONS, URL, check, run
from pydantic import BaseModel

client = anthropic.Anthropic(base_url=URL, api_key="none", max_retries=0)
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["happy", "sad"]}, "sure": {"type": "boolean"}},
    "required": ["mood", "sure"],
}
TOOLS: list[Any] = [{"name": "set_mood", "description": "Set the mood.", "input_schema": SCHEMA}]
SYSTEM: list[Any] = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]


class Mood(BaseModel):
    happy: bool
    sure: bool


def turns(answer: Any) -> None:
    messages: list[Any] = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        made = answer(
            model=MODEL, max_tokens=100, system=SYSTEM, messages=messages, tools=TOOLS, tool_choice={"type": "any"}
        )
        called = [block for block in made.content if block.type == "tool_use"]
        assert called and made.stop_reason == "tool_use", made.stop_reason
        assert all(block.input["mood"] in ("happy", "sad") for block in called)
        messages.append({"role": "assistant", "content": made.content})
        results = [{"type": "tool_result", "tool_use_id": block.id, "content": "done"} for block in called]
        messages.append({"role": "user", "content": results})


@check("tools, three turns")
def created() -> None:
    turns(client.messages.create)


@check("tools, three turns, streamed")
def streamed() -> None:
    def answer(**asked: Any) -> Any:
        with client.messages.stream(**asked) as stream:
            kinds = [event.type for event in stream]
            assert kinds[0] == "message_start" and "message_stop" in kinds, kinds
            return stream.get_final_message()

    turns(answer)


@check("text, three turns")
def text() -> None:
    messages: list[Any] = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        with client.messages.stream(model=MODEL, max_tokens=12, messages=messages) as stream:
            pieces = "".join(stream.text_stream)
            made = stream.get_final_message()
        assert "".join(block.text for block in made.content if block.type == "text") == pieces
        assert made.stop_reason in ("end_turn", "max_tokens") and made.usage.input_tokens > 0
        messages.append({"role": "assistant", "content": made.content})


@check("tokens are counted")
def counted() -> None:
    asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    found = client.messages.count_tokens(**asked).input_tokens
    assert found == client.messages.create(**asked, max_tokens=1).usage.input_tokens


@check("parsed")
def parsed() -> None:
    asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": QUESTIONS[0]}], "max_tokens": 60}
    made = client.messages.parse(**asked, output_format=Mood)
    assert isinstance(made.parsed_output, Mood)


@check("an error is the client's")
def error() -> None:
    try:
        client.messages.create(model="nobody", max_tokens=1, messages=[{"role": "user", "content": "hi"}])
    except anthropic.NotFoundError:
        return
    raise AssertionError("an unknown model was answered")


run()
