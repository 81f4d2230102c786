"""Every case with openai's Python client; prints what came back as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from openai import OpenAI

URL = sys.argv[1] + "/v1"
ASK = json.loads(Path(__file__).with_name("ask.json").read_text(encoding="utf-8"))
NAMED = {"type": "function", "function": {"name": "set_mood"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ASK["schema"]}}
client = OpenAI(base_url=URL, api_key="none")


def ask(using: OpenAI = client, model: str = "m", **more: Any) -> Any:
    given = {"max_tokens": 4} | more
    return using.chat.completions.create(model=model, messages=ASK["messages"], **given).choices[0]


def calls(**more: Any) -> list[Any]:
    message = ask(tools=[ASK["tool"]], max_tokens=60, **more).message
    return [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or []]


def streamed_calls() -> list[Any]:
    with client.chat.completions.stream(
        model="m", messages=ASK["messages"], max_tokens=60, tools=[ASK["tool"]], tool_choice="required"
    ) as events:
        message = events.get_final_completion().choices[0].message
    return [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or []]


chunks = list(
    client.chat.completions.create(
        model="m",
        messages=ASK["messages"],
        stream=True,
        max_tokens=4,
        extra_body={"objective_weights": ASK["weights"]},
    )
)
steered = client.with_options(default_headers={"X-Objective-Weights": json.dumps(ASK["weights"])})
found = {
    "stream": [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content],
    "stream_guidance": getattr(chunks[-1].choices[0], "guidance", None),
    "required": calls(tool_choice="required"),
    "named": calls(tool_choice=NAMED),
    "streamed": streamed_calls(),
    "auto": len(calls(tool_choice="auto")),
    "schema": json.loads(ask(response_format=FORMAT, max_tokens=60).message.content),
    "body": ask(extra_body={"objective_weights": ASK["weights"]}).guidance,
    "header": ask(steered).guidance,
    "preset": ask(model="m:warm").guidance,
    "preference": ask(user="alice").guidance,
}
print(json.dumps(found))
