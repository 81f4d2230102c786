"""``POST /v1/responses``: request and answer (OpenAI's "Create a model response" page), without state.

Nothing is stored: fields that name an earlier response or a conversation are refused, and clients send the whole
conversation as ``input``. The sampling fields of chat completions are taken too. Tools that are no functions are left
out and named. The answer's items are plain dicts here, whose shape the official client's own types define and the tests
check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from mavis_core.api.bounds import check_integer
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import MAX_LOGPROBS, MAX_TOKEN_ID, SamplingParams
from server.protocol.answers import ChoiceGuidance
from server.protocol.chat import HINT, thinking_hints
from server.protocol.chat_messages import ChatMessage, has_unread_arguments
from server.protocol.fields import NoEffect, OnlyFalse, Refused, Skipped, Strict, Tolerant, entries, ranged
from server.protocol.response_items import Item, messages_of
from server.protocol.sampling import SampledRequest
from server.protocol.structure import ANY_OBJECT, Schema, ToolName, json_constraint
from server.protocol.tools import MAX_TOOLS
from server.text.rendering import Rendering
from server.tools.use import Constraint, Function, ToolUse


class TextFormat(Tolerant):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = Field(default=None, description="For the reader; the model does not see it.")
    description: str | None = None
    schema_: Schema | None = Field(default=None, alias="schema", description="null is any object.")
    strict: bool | None = Field(default=None, description="Refuse what cannot be held to.")


class TextOptions(Tolerant):
    format: TextFormat | None = None
    verbosity: NoEffect = None


class FlatFunctionTool(Tolerant):
    type: Literal["function"]
    name: ToolName
    description: str | None = None
    parameters: Schema | None = None
    strict: bool | None = Field(default=None, description="Refuse what cannot be held to.")
    defer_loading: NoEffect = None


class FlatNamedTool(Tolerant):
    type: Literal["function"]
    name: ToolName


def _tool_kind(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, Mapping) else getattr(tool, "type", None)
    return "other" if isinstance(kind, str) and kind != "function" else "function"


FlatTool: TypeAlias = Annotated[
    Annotated[FlatFunctionTool, Tag("function")] | Annotated[Skipped, Tag("other")], Discriminator(_tool_kind)
]
AllowedTool: TypeAlias = Annotated[
    Annotated[FlatNamedTool, Tag("function")] | Annotated[Skipped, Tag("other")], Discriminator(_tool_kind)
]


class FlatAllowedTools(Tolerant):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[AllowedTool], Field(fail_fast=True, min_length=1, max_length=MAX_TOOLS)]


class ResponseStreamOptions(Tolerant):
    include_obfuscation: bool | None = Field(default=None, description="Pad deltas to hide how long tokens are.")


class Reasoning(Tolerant):
    effort: str | None = Field(default=None, description=HINT)
    summary: NoEffect = None
    generate_summary: NoEffect = None


class ResponsesRequest(SampledRequest):
    input: str | Annotated[list[Item], Field(fail_fast=True, min_length=1, max_length=4096)]
    instructions: str | None = Field(default=None, description="A system message before the input.")
    max_output_tokens: int | None = ranged(1, MAX_TOKEN_ID)
    text: TextOptions | None = None
    tools: Annotated[list[FlatTool], Field(fail_fast=True, max_length=MAX_TOOLS)] | None = Field(
        default=None, description="Functions; others are left out."
    )
    tool_choice: Literal["none", "auto", "required"] | FlatNamedTool | FlatAllowedTools | None = None
    parallel_tool_calls: bool | None = None
    top_logprobs: int | None = ranged(0, MAX_LOGPROBS)
    include: Annotated[list[str], Field(fail_fast=True, max_length=16)] | None = Field(
        default=None, description="message.output_text.logprobs; others tell of what no answer here has."
    )
    stream_options: ResponseStreamOptions | None = Field(default=None, description="Only where stream is true.")
    background: OnlyFalse | None = None
    reasoning: Reasoning | None = None

    store: NoEffect = None
    metadata: Annotated[dict[str, Any], Field(max_length=16), entries(16)] | None = Field(
        default=None, description="The answer has it again where it is text."
    )
    client_metadata: NoEffect = None
    safety_identifier: NoEffect = None
    service_tier: NoEffect = None
    prompt_cache_key: NoEffect = None
    prompt_cache_retention: NoEffect = None
    prompt_cache_options: NoEffect = None
    truncation: NoEffect = None
    max_tool_calls: NoEffect = None
    context_management: NoEffect = None

    previous_response_id: Refused = None
    conversation: Refused = None
    moderation: Refused = None
    prompt: Refused = None

    @property
    def obfuscated(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_obfuscation)

    def sampling(self, defaults: Mapping[str, float]) -> SamplingParams:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options: only allowed where stream is true", "stream_options")
        if self.max_output_tokens is not None:
            check_integer("max_output_tokens", self.max_output_tokens, 1, MAX_TOKEN_ID)
        if self.top_logprobs is not None:
            check_integer("top_logprobs", self.top_logprobs, 0, MAX_LOGPROBS)
        included = "message.output_text.logprobs" in (self.include or ())
        logprobs = 0 if self.top_logprobs is None and included else self.top_logprobs
        return self.sampling_params(defaults, n=None, max_tokens=self.max_output_tokens, logprobs=logprobs)

    def constraint(self) -> Constraint | None:
        wanted = self.text.format if self.text else None
        if wanted is None or wanted.type == "text":
            return None
        if wanted.type == "json_object":
            return Constraint(ANY_OBJECT, "text.format")
        return json_constraint(wanted.schema_, "text.format", "text.format.schema", wanted.strict is True)

    def tool_use(self) -> ToolUse:
        functions = [
            Function(tool.name, tool.description, tool.parameters, tool.strict is True, f"tools[{i}]")
            for i, tool in enumerate(self.tools or [])
            if isinstance(tool, FlatFunctionTool)
        ]
        choice = self.tool_choice
        if isinstance(choice, FlatNamedTool):
            return ToolUse.of(functions, "named", [choice.name], self.parallel_tool_calls)
        if isinstance(choice, FlatAllowedTools):
            names = [tool.name for tool in choice.tools if isinstance(tool, FlatNamedTool)]
            if not names:
                raise InvalidRequestError("tool_choice.tools: none of them is a function", "tool_choice.tools")
            return ToolUse.of(functions, choice.mode, names, self.parallel_tool_calls)
        return ToolUse.of(functions, choice, None, self.parallel_tool_calls)

    def rendering(self) -> Rendering:
        hints = thinking_hints(self.reasoning.effort if self.reasoning else None, None)
        return Rendering(functions=self.tool_use().functions, hints=hints, param="input")

    def unread(self) -> Iterator[str]:
        if has_unread_arguments(self.messages()):
            yield "input[].arguments"

    def messages(self) -> list[ChatMessage]:
        """Instructions and input as chat messages; raises InvalidRequestError where they make none."""
        made = [] if self.instructions is None else [ChatMessage(role="system", content=self.instructions)]
        if isinstance(self.input, str):
            return [*made, ChatMessage(role="user", content=self.input)]
        made += messages_of(self.input)
        if not made:
            raise InvalidRequestError("input: has no message, and no call or output of a function", "input")
        return made


class CachedTokens(Strict):
    cached_tokens: int
    cache_write_tokens: int


class ReasoningTokens(Strict):
    reasoning_tokens: int


class ResponseUsage(Strict):
    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class IncompleteDetails(Strict):
    reason: Literal["max_output_tokens"]


class ResponseObject(Strict):
    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: Literal[False]
    error: dict[str, str] | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: None
    store: Literal[False]
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
    user: str | None
    guidance: ChoiceGuidance | None
