"""Every case with LiteLLM; prints what came back as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import litellm
from litellm import completion, stream_chunk_builder

litellm.suppress_debug_info = True  # else it writes hints between our lines
URL = sys.argv[1] + "/v1"
ASK = json.loads(Path(__file__).with_name("ask.json").read_text(encoding="utf-8"))
NAMED = {"type": "function", "function": {"name": "set_mood"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ASK["schema"]}}


def ask(model: str = "openai/m", **more: Any) -> Any:
    given = {"model": model, "max_tokens": 4} | more
    return completion(messages=ASK["messages"], api_base=URL, api_key="none", **given)


def guidance(**more: Any) -> Any:
    return ask(**more).choices[0].provider_specific_fields["guidance"]


def calls(choice: Any, stream: bool = False) -> list[Any]:
    answer = ask(tools=[ASK["tool"]], tool_choice=choice, max_tokens=60, stream=stream)
    message = (stream_chunk_builder(list(answer)) if stream else answer).choices[0].message
    return [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or []]


weights = ASK["weights"]
chunks = list(ask(stream=True, objective_weights=weights))
found = {
    "stream": [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content],
    "stream_guidance": next(g for c in chunks if (g := getattr(c.choices[0], "guidance", None))),
    "required": calls("required"),
    "named": calls(NAMED),
    "streamed": calls("required", stream=True),
    "auto": len(calls("auto")),
    "schema": json.loads(ask(response_format=FORMAT, max_tokens=60).choices[0].message.content),
    "body": guidance(objective_weights=weights),
    "header": guidance(extra_headers={"X-Objective-Weights": json.dumps(weights)}),
    "preset": guidance(model="openai/m:warm"),
    "preference": guidance(extra_body={"user": "alice"}),  # it drops `user` where it does not know the model
}
print(json.dumps(found))
