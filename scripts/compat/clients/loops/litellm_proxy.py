"""LiteLLM's proxy with the official client before it: three turns with tools and parsing, by each provider."""

from __future__ import annotations

from typing import Any, Literal

import openai
from checks import QUESTIONS, check, run
from proxy import KEY, PROVIDERS, proxy
from pydantic import BaseModel


class SetMood(BaseModel):
    mood: Literal["happy", "sad"]
    note: Literal["a", "b"] | None


TOOLS: list[Any] = [openai.pydantic_function_tool(SetMood, name="set_mood")]


def tools(client: openai.OpenAI, model: str, streamed: bool) -> None:
    messages: list[Any] = [{"role": "system", "content": "Be brief."}]
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        asked: Any = {"model": model, "messages": messages, "tools": TOOLS, "tool_choice": "required"}
        asked |= {"max_tokens": 120}
        if streamed:
            with client.chat.completions.stream(**asked) as stream:
                message = stream.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.parse(**asked).choices[0].message
        assert message.tool_calls, "no call"
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in message.tool_calls]


def parsed(client: openai.OpenAI, model: str) -> None:
    messages: list[Any] = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        asked: Any = {"model": model, "messages": messages, "response_format": SetMood, "max_tokens": 120}
        message = client.chat.completions.parse(**asked).choices[0].message
        assert isinstance(message.parsed, SetMood)
        messages.append(message)


with proxy() as url:
    through = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    for provider in PROVIDERS:
        check(f"{provider}/: tools, three turns")(lambda name=provider: tools(through, name, False))
        check(f"{provider}/: tools, three turns, streamed")(lambda name=provider: tools(through, name, True))
        check(f"{provider}/: answers, three turns, parsed")(lambda name=provider: parsed(through, name))
    run()
