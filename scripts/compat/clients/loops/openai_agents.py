"""OpenAI Agents SDK: a tool that must be called and a typed output, three runs that continue one another, both APIs."""

from __future__ import annotations

from typing import Any, Literal

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from checks import MODEL, QUESTIONS, URL, check, run
from openai import AsyncOpenAI
from pydantic import BaseModel


class Mood(BaseModel):
    mood: Literal["happy", "sad"]
    sure: bool


@function_tool
def set_mood(mood: Literal["happy", "sad"], note: Literal["a", "b"] | None = None) -> str:
    """Set the mood."""
    return "done"


def agent(kind: Any, output: Any = None) -> Agent[Any]:
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
    settings = ModelSettings(tool_choice="required", max_tokens=100, parallel_tool_calls=False)
    return Agent("mood", instructions="Be brief.", tools=[set_mood], output_type=output, model_settings=settings,
                 model=kind(model=MODEL, openai_client=client))  # fmt: skip


async def turns(made: Agent[Any], streamed: bool = False) -> Any:
    history: list[Any] = []
    for question in QUESTIONS:
        history.append({"role": "user", "content": question})
        if streamed:
            done: Any = Runner.run_streamed(made, history, max_turns=8)
            async for _ in done.stream_events():
                pass
        else:
            done = await Runner.run(made, history, max_turns=8)
        history = done.to_input_list()
        assert any(item.get("type") == "function_call" for item in history)
    return done.final_output


@check("tools, three turns")
async def chat() -> None:
    await turns(agent(OpenAIChatCompletionsModel))


@check("tools, three turns, streamed")
async def streamed() -> None:
    await turns(agent(OpenAIChatCompletionsModel), streamed=True)


@check("Responses with tools, three turns")
async def responses() -> None:
    await turns(agent(OpenAIResponsesModel))


@check("Responses with tools, three turns, streamed")
async def responses_streamed() -> None:
    await turns(agent(OpenAIResponsesModel), streamed=True)


@check("a typed output, three turns")
async def typed() -> None:
    made = agent(OpenAIChatCompletionsModel, Mood)
    made.model_settings.tool_choice = "none"
    made.tools = []
    history: list[Any] = []
    for question in QUESTIONS:
        done = await Runner.run(made, [*history, {"role": "user", "content": question}])
        assert isinstance(done.final_output, Mood)
        history = done.to_input_list()


run()
