"""pydantic-ai: an agent with a tool and a typed output, three runs that continue one another, over both APIs."""

from __future__ import annotations

from typing import Any, Literal

from checks import MODEL, QUESTIONS, URL, check, run
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits

provider = OpenAIProvider(base_url=f"{URL}/v1", api_key="none")
LIMITS = UsageLimits(request_limit=25)


class Mood(BaseModel):
    """The mood."""

    mood: Literal["happy", "sad"]
    note: Literal["a", "b"] | None = None


def set_mood(happy: bool) -> str:
    """Set the mood."""
    return "done"


def agent(model: Any, output: Any, *tools: Any) -> Agent[None, Any]:
    """A small model calls tools as long as it likes, and its context is short: so few of them have one."""
    settings: Any = {"max_tokens": 100}
    return Agent(model, output_type=output, tools=tools, instructions="Be brief.", model_settings=settings, retries=5)


def turns(made: Agent[None, Any], questions: tuple[str, ...] = QUESTIONS) -> None:
    history: Any = None
    for question in questions:
        done = made.run_sync(question, message_history=history, usage_limits=LIMITS)
        assert isinstance(done.output, Mood)
        history = done.all_messages()


@check("an output by a tool, three turns")
def by_tool() -> None:
    turns(agent(OpenAIChatModel(MODEL, provider=provider), ToolOutput(Mood)))


@check("a tool and an output by a tool")
def with_a_tool() -> None:
    turns(agent(OpenAIChatModel(MODEL, provider=provider), ToolOutput(Mood), set_mood), QUESTIONS[:1])


@check("an output by schema, three turns")
def native() -> None:
    turns(agent(OpenAIChatModel(MODEL, provider=provider), NativeOutput(Mood)))


@check("Responses, three turns")
def responses() -> None:
    turns(agent(OpenAIResponsesModel(MODEL, provider=provider), ToolOutput(Mood)))


@check("streamed, three turns")
async def streamed() -> None:
    made = agent(OpenAIChatModel(MODEL, provider=provider), ToolOutput(Mood))
    history: Any = None
    for question in QUESTIONS:
        async with made.run_stream(question, message_history=history, usage_limits=LIMITS) as stream:
            assert isinstance(await stream.get_output(), Mood)
            history = stream.all_messages()


run()
