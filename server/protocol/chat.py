"""``POST /v1/chat/completions``: request (OpenAI's "Create chat completion" page) and both kinds of answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mavis_core.api.bounds import check_integer
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import MAX_LOGPROBS, MAX_TOKEN_ID, SamplingParams
from server.protocol.answers import AnswerModel, ChatFinishReason, ChoiceModel, PromptLogprobs, Usage
from server.protocol.chat_messages import Messages, has_unread_arguments
from server.protocol.fields import EmptyList, NoEffect, Refused, Strict, entries, ranged
from server.protocol.generation import GenerationRequest
from server.protocol.tools import ToolCall, ToolChoice, Tools, tool_use_of
from server.text.rendering import Rendering
from server.tools.use import ToolUse

TemplateVariables = Annotated[dict[str, Any], Field(max_length=64), entries(64)]
HINT = "Reaches chat templates that know it."


class ChatCompletionRequest(GenerationRequest):
    messages: Messages
    max_completion_tokens: int | None = ranged(1, MAX_TOKEN_ID, "The newer name of max_tokens.")
    logprobs: bool | None = None
    top_logprobs: int | None = ranged(0, MAX_LOGPROBS, "Only where logprobs is true.")
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = Field(default=None, description='null is "auto" where there are tools.')
    parallel_tool_calls: bool | None = Field(default=None, description="false: at most one call.")

    # vLLM's
    add_generation_prompt: bool | None = Field(default=None, description="null is true unless a message goes on.")
    continue_final_message: bool | None = Field(default=None, description="Go on with the last message.")
    chat_template_kwargs: TemplateVariables | None = Field(
        default=None, description="Variables of the template; others are left out."
    )

    include_reasoning: bool | None = Field(default=None, description="false leaves the reasoning out of the answer.")
    reasoning_effort: str | None = Field(default=None, description=HINT)
    enable_thinking: bool | None = Field(default=None, description=HINT)

    store: NoEffect = None
    metadata: NoEffect = None
    client_metadata: NoEffect = None
    safety_identifier: NoEffect = None
    service_tier: NoEffect = None
    prompt_cache_key: NoEffect = None
    prompt_cache_retention: NoEffect = None
    prompt_cache_options: NoEffect = None
    cache_control: NoEffect = None
    prediction: NoEffect = None
    verbosity: NoEffect = None
    reasoning: NoEffect = None
    media_io_kwargs: NoEffect = None
    mm_processor_kwargs: NoEffect = None

    functions: EmptyList | None = None
    function_call: Literal["none", "auto"] | None = Field(default=None, description="There are no functions to call.")
    audio: Refused = None
    moderation: Refused = None
    web_search_options: Refused = None
    chat_template: Refused = None
    documents: Refused = None
    return_prompt_text: Refused = None

    @property
    def limit_name(self) -> str:
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    @property
    def echoed(self) -> str:
        """What comes before the answer's text; raises InvalidRequestError where no answer begins with it."""
        if not self.echo:
            return ""
        if self.messages[-1].role != "assistant":
            raise InvalidRequestError("echo: only allowed where the last message is the assistant's", "echo")
        return self.messages[-1].text

    def tool_use(self) -> ToolUse:
        return tool_use_of(self.tools, self.tool_choice, self.parallel_tool_calls)

    def rendering(self) -> Rendering:
        return Rendering(
            functions=self.tool_use().functions,
            add_generation_prompt=self.add_generation_prompt,
            continue_final_message=bool(self.continue_final_message),
            add_special_tokens=bool(self.add_special_tokens),
            variables=self.chat_template_kwargs or {},
            hints=thinking_hints(self.reasoning_effort, self.enable_thinking),
        )

    def unread(self) -> Iterator[str]:
        if has_unread_arguments(self.messages):
            yield "messages[].tool_calls[].function.arguments"

    def sampling(self, defaults: Mapping[str, float]) -> SamplingParams:
        self.check_stream()
        limit = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        if limit is not None:
            check_integer(self.limit_name, limit, 1, MAX_TOKEN_ID)
        if self.max_tokens not in (None, limit):
            raise InvalidRequestError(
                f"max_tokens={self.max_tokens} and max_completion_tokens={limit} disagree: give one", "max_tokens"
            )
        if self.top_logprobs is not None:
            if self.top_logprobs and not self.logprobs:
                raise InvalidRequestError("top_logprobs: only allowed where logprobs is true", "top_logprobs")
            check_integer("top_logprobs", self.top_logprobs, 0, MAX_LOGPROBS)
        return self.sampling_params(
            defaults,
            n=self.n,
            max_tokens=limit,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            prompt_logprobs=self.prompt_logprobs,
        )


def thinking_hints(effort: str | None, enabled: bool | None) -> dict[str, Any]:
    """What templates of reasoning models are told; as in vLLM, an effort other than "none" turns thinking on."""
    if enabled is None and effort is not None:
        enabled = effort != "none"
    return {
        name: value for name, value in (("reasoning_effort", effort), ("enable_thinking", enabled)) if value is not None
    }


class TopLogprob(Strict):
    token: str
    bytes: list[int] | None
    logprob: float


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Strict):
    content: list[TokenLogprob] | None
    refusal: None


class AnswerMessage(Strict):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | None = Field(default=None, description="What the model thought before it answered.")
    reasoning_content: str | None = Field(default=None, description="The same, under its older name.")
    tool_calls: list[ToolCall] | None = None


class ChatChoice(ChoiceModel):
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason


class ChatCompletion(AnswerModel):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: Usage
    prompt_logprobs: PromptLogprobs | None = None
    prompt_token_ids: list[int] | None = None


class CalledFunctionDelta(Strict):
    name: str | None = None
    arguments: str


class ToolCallDelta(Strict):
    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunctionDelta


class ChatDelta(Strict):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChatChunkChoice(ChoiceModel):
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason | None


class ChatCompletionChunk(AnswerModel):
    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
    prompt_token_ids: list[int] | None = None
    obfuscation: str | None = None
