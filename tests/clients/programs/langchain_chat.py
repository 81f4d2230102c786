"""Every case with LangChain's ChatOpenAI; prints what came back as JSON.

Its messages keep only the fields that it knows, so what steering did is read from the HTTP answers.
"""

from __future__ import annotations

import functools
import json
import operator
import sys
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI
from openai import DefaultHttpxClient

URL = sys.argv[1] + "/v1"
ASK = json.loads(Path(__file__).with_name("ask.json").read_text(encoding="utf-8"))
QUESTION = ASK["messages"][0]["content"]
guidances: list[Any] = []


def keep_guidance(response: Any) -> None:
    response.read()
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if "{" in line]
    guidances.append(json.loads(lines[-1])["choices"][0]["guidance"])


def llm(**more: Any) -> ChatOpenAI:
    given = {
        "model": "m",
        "max_tokens": 4,
        "http_client": DefaultHttpxClient(event_hooks={"response": [keep_guidance]}),
    }
    return ChatOpenAI(base_url=URL, api_key="none", **given | more)


def guidance(**more: Any) -> Any:
    llm(**more).invoke(QUESTION)
    return guidances[-1]


def calls(choice: str, stream: bool = False) -> list[Any]:
    bound = llm(max_tokens=60).bind_tools([ASK["tool"]], tool_choice=choice)
    answer = functools.reduce(operator.add, bound.stream(QUESTION)) if stream else bound.invoke(QUESTION)
    return [[call["name"], call["args"]] for call in answer.tool_calls]


weights = ASK["weights"]
streamed = list(llm(extra_body={"objective_weights": weights}).stream(QUESTION))
found = {
    "stream": [chunk.content for chunk in streamed if chunk.content],
    "stream_guidance": guidances[-1],
    "required": calls("required"),
    "named": calls("set_mood"),
    "streamed": calls("required", stream=True),
    "auto": len(calls("auto")),
    "schema": llm(max_tokens=60)
    .with_structured_output(ASK["schema"] | {"title": "answer"}, method="json_schema")
    .invoke(QUESTION),
    "body": guidance(extra_body={"objective_weights": weights}),
    "header": guidance(default_headers={"X-Objective-Weights": json.dumps(weights)}),
    "preset": guidance(model="m:warm"),
    "preference": guidance(model_kwargs={"user": "alice"}),
}
print(json.dumps(found))
