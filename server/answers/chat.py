"""Chat completions: "The chat completion object" and "The chat completion chunk object" pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mavis_core.api.messages import ChoiceDelta, TokenLogprobs
from mavis_core.text.reasoning import ReasoningTracker
from server.answers.completions import Choice, CompletionsAnswer, Extras
from server.answers.context import AnswerContext
from server.answers.token_logprobs import token_logprobs
from server.tools.parts import AnswerPart, AnswerText, Reader, ReasoningText, ToolCallArguments, ToolCallBegin
from server.tools.use import ToolUse


@dataclass(slots=True)
class ChoiceMessage:
    """A choice's text, reasoning and tool calls so far."""

    reader: Reader
    tracker: ReasoningTracker | None
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        parts = self.reader.read(text, last)
        for part in parts:
            match part:
                case AnswerText(said):
                    self.content.append(said)
                case ReasoningText(thought):
                    self.reasoning.append(thought)
                case ToolCallBegin(_, id, name):
                    self.calls.append({"id": id, "type": "function", "function": {"name": name, "arguments": ""}})
                case ToolCallArguments(index, arguments):
                    self.calls[index]["function"]["arguments"] += arguments
        return parts


class ChatAnswer(CompletionsAnswer):
    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"

    def __init__(
        self,
        id: str,
        context: AnswerContext,
        extras: Extras,
        tools: ToolUse,
        echoed: str = "",
        shows_reasoning: bool = True,
    ) -> None:
        """``echoed``: text that stands before each answer's own."""
        super().__init__(id, context, extras)
        self._tools, self._echoed, self._shows_reasoning = tools, echoed, shows_reasoning
        reasoning = context.sampling.reasoning
        self._messages = [
            ChoiceMessage(context.dialect.reader(tools, reasoning), context.tracker()) for _ in self._choices
        ]

    def _take(self, choice: Choice, delta: ChoiceDelta) -> None:
        super()._take(choice, delta)
        if (tracker := self._messages[choice.index].tracker) is not None:
            for token in delta.token_ids:
                tracker.push(token)

    def _usage(self) -> dict[str, Any]:
        reasoned = sum(message.tracker.tokens for message in self._messages if message.tracker is not None)
        return super()._usage() | {"completion_tokens_details": {"reasoning_tokens": reasoned}}

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        message = self._messages[choice.index]
        message.read("".join(choice.text), last=True)
        content = self._echoed + "".join(message.content)
        said = content if content or not (message.calls or message.reasoning) else None
        more: dict[str, Any] = {"tool_calls": message.calls} if message.calls else {}
        if message.reasoning and self._shows_reasoning:
            more |= _reasoning("".join(message.reasoning))
        return {
            "index": choice.index,
            "message": {"role": "assistant", "content": said, "refusal": None} | more,
            "logprobs": self._logprobs(choice, choice.logprobs),
        }

    def _whole_extras(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self._extras.prompt_logprobs:
            made["prompt_logprobs"] = self._shown_prompt_logprobs(0, self._context.sampling.prompt_logprobs or 0)
        if self._extras.token_ids:
            made["prompt_token_ids"] = self._context.prompts[0]
        return made

    def _opening(self, choice: Choice) -> list[bytes]:
        content = None if self._tools.mode != "none" else ""  # OpenAI's: null where a call may follow
        prompt = {"prompt_token_ids": self._context.prompts[0]} if self._extras.token_ids else {}
        opening = [self._chunk([self._with_delta(choice, {"role": "assistant", "content": content})], **prompt)]
        if self._echoed:
            opening.append(self._chunk([self._with_delta(choice, {"content": self._echoed})]))
        return opening

    def _parts(self, choice: Choice, delta: ChoiceDelta) -> list[AnswerPart]:
        parts = self._messages[choice.index].read(self._text(choice, delta), last=delta.finish_reason is not None)
        if self._shows_reasoning:
            return parts
        return [part for part in parts if not isinstance(part, ReasoningText)]

    def _shape(self, choice: Choice, part: AnswerPart | None) -> dict[str, Any]:
        return self._with_delta(choice, {} if part is None else _delta(part))

    def _with_delta(self, choice: Choice, delta: dict[str, Any]) -> dict[str, Any]:
        return {"index": choice.index, "delta": delta, "logprobs": None, "finish_reason": None} | self._no_ids()

    def _finish_reason(self, choice: Choice) -> str | None:
        """A call that the client named ends with "stop", as OpenAI documents; a cut call is not to be made."""
        message = self._messages[choice.index]
        called = message.calls and not message.reader.cut and self._tools.mode != "named"
        return "tool_calls" if called and choice.finish_reason == "stop" else choice.finish_reason

    def _logprobs(self, choice: Choice, positions: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
        if self._context.sampling.logprobs is None:
            return None
        content = [token_logprobs(choice.logprob_reading, position, self._token_name) for position in positions]
        return {"content": content, "refusal": None}


def _reasoning(text: str) -> dict[str, Any]:
    """Under vLLM's name, and the older one that clients look for."""
    return {"reasoning": text, "reasoning_content": text}


def _delta(part: AnswerPart) -> dict[str, Any]:
    match part:
        case ReasoningText(text):
            return _reasoning(text)
        case AnswerText(text):
            return {"content": text}
        case ToolCallBegin(index, id, name):
            function = {"name": name, "arguments": ""}
            return {"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}
        case ToolCallArguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
