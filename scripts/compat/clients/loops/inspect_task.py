"""inspect_ai: a task whose samples call a tool, and one with a schema, through its OpenAI-compatible provider."""

from __future__ import annotations

import os
from typing import Any

from checks import MODEL, QUESTIONS, URL, check, run

os.environ |= {"MAVIS_BASE_URL": f"{URL}/v1", "MAVIS_API_KEY": "none", "INSPECT_DISPLAY": "none"}

from inspect_ai import Task, eval  # the provider reads the variables
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, GenerateConfig, ResponseSchema
from inspect_ai.scorer import includes
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver, use_tools
from inspect_ai.tool import Tool, tool
from inspect_ai.util import JSONSchema


@tool
def set_mood() -> Tool:
    async def execute(happy: bool) -> str:
        """Set the mood.

        Args:
            happy: Whether it is a good one.
        """
        return "done"

    return execute


@solver
def two_more_turns() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        for question in QUESTIONS[1:]:
            state.messages.append(ChatMessageUser(content=question))
            state.tool_choice = "any"
            state = await generate(state, tool_calls="single")
        return state

    return solve


def evaluated(plan: list[Any], **config: Any) -> list[Any]:
    samples = [Sample(QUESTIONS[0], target="a") for _ in range(2)]
    task = Task(samples, solver=plan, scorer=includes(), config=GenerateConfig(**config))
    [log] = eval(task, model=f"openai-api/mavis/{MODEL}", log_dir="logs", max_retries=0, display="none")
    assert log.status == "success", log.error.message if log.error else log.status
    return list(log.samples or [])


@check("tools, three turns")
def tools() -> None:
    plan = [use_tools(set_mood(), tool_choice="any"), generate(tool_calls="single"), two_more_turns()]
    for sample in evaluated(plan, max_tokens=80, seed=1):
        called = [message for message in sample.messages if message.role == "tool"]
        assert len(called) >= 3, len(called)


@check("a schema")
def schema() -> None:
    asked = JSONSchema(type="object", properties={"happy": JSONSchema(type="boolean")}, required=["happy"])
    for sample in evaluated([generate()], response_schema=ResponseSchema(name="mood", json_schema=asked)):
        assert "happy" in sample.output.completion


@check("log-probabilities")
def logprobs() -> None:
    for sample in evaluated([generate()], logprobs=True, top_logprobs=3, max_tokens=4):
        assert sample.output.choices[0].logprobs.content


run()
