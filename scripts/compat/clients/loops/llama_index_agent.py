"""LlamaIndex: its OpenAI-like model with tools, agents and structured answers."""

from __future__ import annotations

from typing import Any, Literal

from checks import MODEL, QUESTIONS, URL, check, run
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Mood(BaseModel):
    """The mood."""

    mood: Literal["happy", "sad"]
    sure: bool | None = None


def set_mood(happy: bool, tags: dict[str, str] | None = None) -> str:
    """Set the mood."""
    return "done"


TOOL = FunctionTool.from_defaults(set_mood)


def llm(**more: Any) -> OpenAILike:
    given: dict[str, Any] = {
        "model": MODEL, "api_base": f"{URL}/v1", "api_key": "none", "is_chat_model": True, "max_retries": 0,
        "is_function_calling_model": True, "context_window": 1024, "max_tokens": 80,
    }  # fmt: skip
    return OpenAILike(**given | more)


@check("tools, three turns")
def tools() -> None:
    model, history = llm(), [ChatMessage(role="system", content="Be brief.")]
    for question in QUESTIONS:
        history.append(ChatMessage(role="user", content=question))
        made = model.chat_with_tools([TOOL], chat_history=history, tool_required=True)
        calls = model.get_tool_calls_from_response(made, error_on_no_tool_call=True)
        history.append(made.message)
        for call in calls:
            extra = {"tool_call_id": call.tool_id}
            history.append(ChatMessage(role="tool", content="done", additional_kwargs=extra))


@check("structured, three times")
def structured() -> None:
    for question in QUESTIONS:
        assert isinstance(llm().structured_predict(Mood, PromptTemplate("{question}"), question=question), Mood)


@check("structured by schema, three times")
def by_schema() -> None:
    model = llm(should_use_structured_outputs=True)
    for question in QUESTIONS:
        assert isinstance(model.structured_predict(Mood, PromptTemplate("{question}"), question=question), Mood)


@check("an agent, three turns")
async def agent() -> None:
    made = FunctionAgent(tools=[TOOL], llm=llm(), system_prompt="Be brief.", initial_tool_choice="set_mood")
    context = Context(made)
    for question in QUESTIONS:
        done = await made.run(question, ctx=context)
        assert done.tool_calls, "no call"


run()
