"""openai for Python: parse, its stream, cut answers and Responses, each turn sent back as the client keeps it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import openai
from checks import MODEL, QUESTIONS, URL, check, run
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)


class Level(Enum):
    low = "low"
    high = "high"


class Detail(BaseModel):
    level: Level
    sure: bool


class SetMood(BaseModel):
    """Set the mood."""

    mood: Level
    detail: Detail
    note: Level | None


TOOLS: list[Any] = [openai.pydantic_function_tool(SetMood, name="set_mood")]
FLAT: list[Any] = [openai.pydantic_function_tool(SetMood, name="set_mood")["function"] | {"type": "function"}]


def turns(answer: Any) -> list[Any]:
    """Three questions, each with the tool called and its result sent back; messages go back as they came."""
    messages: list[Any] = [{"role": "system", "content": "Be brief."}]
    for i, question in enumerate(QUESTIONS):
        messages.append({"role": "user", "content": question})
        message = answer(messages=messages, seed=i, model=MODEL, tools=TOOLS)
        assert message.tool_calls, "no call"
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in message.tool_calls]
    return messages


@check("tools, three turns")
def created() -> None:
    turns(lambda **asked: client.chat.completions.create(**asked, tool_choice="required").choices[0].message)


@check("tools, three turns, parsed")
def parsed() -> None:
    def answer(**asked: Any) -> Any:
        message = client.chat.completions.parse(**asked, tool_choice="required").choices[0].message
        assert all(isinstance(call.function.parsed_arguments, SetMood) for call in message.tool_calls or [])
        return message

    turns(answer)


@check("tools, three turns, parsed from a stream")
def streamed() -> None:
    def answer(**asked: Any) -> Any:
        with client.chat.completions.stream(**asked, tool_choice="required") as stream:
            kinds = {event.type for event in stream}
            assert "tool_calls.function.arguments.delta" in kinds, kinds
            return stream.get_final_completion().choices[0].message

    turns(answer)


@check("answers, three turns, parsed")
def answers() -> None:
    messages: list[Any] = []
    for i, question in enumerate(QUESTIONS):
        messages.append({"role": "user", "content": question})
        asked: Any = {"model": MODEL, "messages": messages, "seed": i, "response_format": SetMood}
        message = client.chat.completions.parse(**asked).choices[0].message
        assert isinstance(message.parsed, SetMood)
        messages.append(message)


@check("calls cut by the limit, three turns")
def cut() -> None:
    messages: list[Any] = []
    for i, question in enumerate(QUESTIONS):
        messages.append({"role": "user", "content": question})
        asked: Any = {"model": MODEL, "messages": messages, "tools": TOOLS, "tool_choice": "required", "seed": i}
        choice = client.chat.completions.create(**asked, max_tokens=24).choices[0]
        assert choice.finish_reason == "length"
        messages.append(choice.message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "cut"} for call in choice.message.tool_calls or []
        ]


@check("Responses with tools, three turns")
def responses() -> None:
    history: list[Any] = []
    for question in QUESTIONS:
        history.append({"role": "user", "content": question})
        made = client.responses.create(
            model=MODEL, input=history, tools=FLAT, tool_choice="required", store=False,
            include=["reasoning.encrypted_content"], reasoning={"effort": "low"}, truncation="auto",
        )  # fmt: skip
        called = [item for item in made.output if item.type == "function_call"]
        assert called, "no call"
        history += made.output
        history += [{"type": "function_call_output", "call_id": item.call_id, "output": "done"} for item in called]


@check("Responses, three turns, parsed")
def responses_parsed() -> None:
    history: list[Any] = []
    for question in QUESTIONS:
        history.append({"role": "user", "content": question})
        with client.responses.stream(model=MODEL, input=history, text_format=SetMood) as stream:
            made = stream.get_final_response() if list(stream) else None
        assert made is not None and isinstance(made.output_parsed, SetMood)
        history += made.output


run()
