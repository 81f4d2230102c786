"""``POST /v1/chat/completions``: request (OpenAI's "Create chat completion" page) and both kinds of answer.

Tools, audio, images, structured output and reasoning are refused by name. Fields that an assistant message of ours
carries (``refusal: null`` and so on) are taken back as they are: clients echo our messages in the next turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from mavis_core.bounds import check_integer
from mavis_core.errors import InvalidRequestError
from mavis_core.sampling_params import MAX_LOGPROBS, MAX_TOKEN_ID, SamplingParams
from server.protocol.answers import AnswerModel, ChoiceModel, FinishReasonName, Usage
from server.protocol.fields import NO_EFFECT, EmptyList, Refused, Strict, ranged
from server.protocol.generation import GenerationRequest


class TextPart(Strict):
    type: Literal["text"]
    text: str


class ChatMessage(Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True)]
    name: str | None = Field(default=None, description="Handed to the chat template.")
    refusal: Refused = None
    annotations: EmptyList | None = None
    audio: Refused = None
    function_call: Refused = None
    tool_calls: EmptyList | None = None
    tool_call_id: Refused = None


class ResponseFormat(Strict):
    type: Literal["text"]


class ChatCompletionRequest(GenerationRequest):
    messages: Annotated[list[ChatMessage], Field(fail_fast=True, min_length=1, max_length=4096)]
    max_completion_tokens: int | None = ranged(1, MAX_TOKEN_ID, "The newer name of max_tokens.")
    logprobs: bool | None = None
    top_logprobs: int | None = ranged(0, MAX_LOGPROBS, "Only where logprobs is true.")
    response_format: ResponseFormat | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None

    store: bool | None = Field(default=None, description=NO_EFFECT)
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = Field(default=None, description=NO_EFFECT)
    safety_identifier: str | None = Field(default=None, description=NO_EFFECT)
    service_tier: str | None = Field(default=None, description=NO_EFFECT)
    prompt_cache_key: str | None = Field(default=None, description=NO_EFFECT)
    prompt_cache_retention: str | None = Field(default=None, description=NO_EFFECT)

    tools: EmptyList | None = None
    tool_choice: Literal["none"] | None = None
    parallel_tool_calls: Refused = None
    functions: EmptyList | None = None
    function_call: Literal["none"] | None = None
    audio: Refused = None
    moderation: Refused = None
    prediction: Refused = None
    prompt_cache_options: Refused = None
    reasoning_effort: Refused = None
    verbosity: Refused = None
    web_search_options: Refused = None

    @property
    def limit_name(self) -> str:
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    def sampling(self, defaults: Mapping[str, float]) -> SamplingParams:
        self.check_stream_options()
        limit = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        if limit is not None:
            check_integer(self.limit_name, limit, 1, MAX_TOKEN_ID)
        if self.max_tokens not in (None, limit):
            raise InvalidRequestError(
                f"max_tokens={self.max_tokens} and max_completion_tokens={limit} disagree: give one", "max_tokens"
            )
        if self.top_logprobs is not None:
            if not self.logprobs:
                raise InvalidRequestError("top_logprobs: only allowed where logprobs is true", "top_logprobs")
            check_integer("top_logprobs", self.top_logprobs, 0, MAX_LOGPROBS)
        return self.sampling_params(limit, (self.top_logprobs or 0) if self.logprobs else None, defaults)


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
    content: str
    refusal: None


class ChatChoice(ChoiceModel):
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReasonName


class ChatCompletion(AnswerModel):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: Usage


class ChatDelta(Strict):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChunkChoice(ChoiceModel):
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReasonName | None


class ChatCompletionChunk(AnswerModel):
    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
