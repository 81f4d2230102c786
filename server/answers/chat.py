"""Chat completions: "The chat completion object" and "The chat completion chunk object" pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mavis_core.api.messages import ChoiceDelta, TokenLogprobs
from server.answers.completions import Choice, CompletionsAnswer, Extras
from server.answers.context import AnswerContext
from server.answers.token_logprobs import token_logprobs
from server.tools.reader import AnswerPart, AnswerText, Reader, ToolCallArguments, ToolCallBegin, reader_for
from server.tools.use import ToolUse


@dataclass(slots=True)
class ChoiceMessage:
    """A choice's text and tool calls so far."""

    reader: Reader
    content: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def read(self, text: str, last: bool) -> list[AnswerPart]:
        parts = self.reader.read(text, last)
        for part in parts:
            match part:
                case AnswerText(said):
                    self.content.append(said)
                case ToolCallBegin(_, id, name):
                    self.calls.append({"id": id, "type": "function", "function": {"name": name, "arguments": ""}})
                case ToolCallArguments(index, arguments):
                    self.calls[index]["function"]["arguments"] += arguments
        return parts


class ChatAnswer(CompletionsAnswer):
    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"

    def __init__(self, id: str, context: AnswerContext, extras: Extras, tools: ToolUse, echoed: str = "") -> None:
        """``echoed``: text that stands before each answer's own."""
        super().__init__(id, context, extras)
        self._tools, self._echoed = tools, echoed
        self._messages = [ChoiceMessage(reader_for(tools)) for _ in self._choices]

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        message = self._messages[choice.index]
        message.read("".join(choice.text), last=True)
        content = self._echoed + "".join(message.content)
        calls = {"tool_calls": message.calls} if message.calls else {}
        return {
            "index": choice.index,
            "message": {"role": "assistant", "content": content if content or not calls else None, "refusal": None}
            | calls,
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
        opening = [self._chunk([self._part(choice, {"role": "assistant", "content": content})], **prompt)]
        if self._echoed:
            opening.append(self._chunk([self._part(choice, {"content": self._echoed})]))
        return opening

    def _chunk_parts(self, choice: Choice, delta: ChoiceDelta) -> list[dict[str, Any]]:
        parts = self._messages[choice.index].read(self._text(choice, delta), last=delta.finish_reason is not None)
        return [self._part(choice, _delta(part)) for part in parts]

    def _empty_part(self, choice: Choice) -> dict[str, Any]:
        return self._part(choice, {})

    def _part(self, choice: Choice, delta: dict[str, Any]) -> dict[str, Any]:
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


def _delta(part: AnswerPart) -> dict[str, Any]:
    match part:
        case AnswerText(text):
            return {"content": text}
        case ToolCallBegin(index, id, name):
            function = {"name": name, "arguments": ""}
            return {"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}
        case ToolCallArguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
