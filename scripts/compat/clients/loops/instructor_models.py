"""instructor: models as answers by tools and by schema, three turns each, and an answer that is asked for again."""

from __future__ import annotations

from typing import Any, Literal

import instructor
import openai
from checks import MODEL, QUESTIONS, URL, check, run
from pydantic import BaseModel, field_validator

client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
refused: list[Any] = []


class Mood(BaseModel):
    """The mood."""

    mood: Literal["happy", "sad"]
    sure: bool | None = None


class Picky(Mood):
    """The mood, which is refused at first."""

    @field_validator("mood")
    @classmethod
    def not_at_first(cls, mood: str) -> str:
        refused.append(mood)
        if len(refused) <= 2:
            raise ValueError("say it again")
        return mood


def turns(mode: instructor.Mode) -> None:
    using = instructor.from_openai(client, mode=mode)
    messages: list[Any] = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        made, whole = using.chat.completions.create_with_completion(
            model=MODEL, messages=messages, response_model=Mood, max_retries=1
        )
        assert isinstance(made, Mood)
        messages.append(whole.choices[0].message.model_dump())
        calls = whole.choices[0].message.tool_calls or []
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in calls]


for way in ("TOOLS", "TOOLS_STRICT", "JSON_SCHEMA"):
    if hasattr(instructor.Mode, way):
        check(f"{way.lower()}, three turns")(lambda way=way: turns(instructor.Mode[way]))


@check("asked again, three times")
def again() -> None:
    using = instructor.from_openai(client)
    asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    assert isinstance(using.chat.completions.create(**asked, response_model=Picky, max_retries=4), Picky)
    assert len(refused) == 3


@check("a partial answer, streamed")
def partial() -> None:
    using = instructor.from_openai(client)
    asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    pieces = list(using.chat.completions.create_partial(**asked, response_model=Mood))
    assert pieces[-1].mood in ("happy", "sad")


run()
