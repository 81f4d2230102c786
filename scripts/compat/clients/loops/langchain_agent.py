"""LangChain: ChatOpenAI with tools, its agents, and structured output, over chat completions and Responses."""

from __future__ import annotations

import functools
import operator
from typing import Any, Literal

from checks import MODEL, QUESTIONS, URL, check, run
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Mood(BaseModel):
    """The mood."""

    happy: bool
    sure: bool | None = None


@tool
def set_mood(happy: bool, note: Literal["a", "b"] | None = None) -> str:
    """Set the mood."""
    return "done"


def llm(**more: Any) -> Any:
    given: dict[str, Any] = {"model": MODEL, "base_url": f"{URL}/v1", "api_key": "none", "max_retries": 0, "seed": 1}
    return ChatOpenAI(**given | more)


def turns(answer: Any) -> None:
    messages: list[Any] = [SystemMessage("Be brief.")]
    for question in QUESTIONS:
        messages.append(HumanMessage(question))
        message = answer(messages)
        assert message.tool_calls, "no call"
        messages.append(message)
        messages += [ToolMessage(set_mood.invoke(call["args"]), tool_call_id=call["id"]) for call in message.tool_calls]


@check("tools, three turns")
def invoked() -> None:
    turns(llm().bind_tools([set_mood], tool_choice="any").invoke)


@check("tools, three turns, streamed")
def streamed() -> None:
    bound = llm().bind_tools([set_mood], tool_choice="any", strict=False)
    turns(lambda messages: functools.reduce(operator.add, bound.stream(messages)))


@check("Responses with tools, three turns")
def responses() -> None:
    turns(llm(use_responses_api=True, seed=None).bind_tools([set_mood], tool_choice="any").invoke)


@check("structured output, each way")
def structured() -> None:
    for method in ("json_schema", "function_calling"):
        bound = llm().with_structured_output(Mood, method=method)
        for question in QUESTIONS:
            assert isinstance(bound.invoke(question), Mood), method


@check("an agent, three turns, parsed")
def agent() -> None:
    made = create_agent(llm(max_tokens=80), [], response_format=ToolStrategy(Mood))
    state: Any = {"messages": []}
    for question in QUESTIONS:
        state = made.invoke({"messages": [*state["messages"], HumanMessage(question)]}, {"recursion_limit": 40})
        assert isinstance(state["structured_response"], Mood)


run()
