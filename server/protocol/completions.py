"""``POST /v1/completions``: request (OpenAI's "Create completion" page) and answer; chunks have the answer's shape.

A prompt is text or token ids, one or several. ``echo`` returns the prompt's text first; with ``logprobs`` it would
need the log-probabilities of the prompt, which the engine does not compute yet, and so is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from mavis_core.errors import InvalidRequestError
from mavis_core.sampling_params import MAX_LOGPROBS, SamplingParams
from server.protocol.answers import AnswerModel, ChoiceModel, FinishReasonName, Usage
from server.protocol.fields import Refused, Strict, ranged
from server.protocol.generation import GenerationRequest, TokenId

MAX_PROMPTS = 128
DEFAULT_MAX_TOKENS = 16
# fail_fast: half a million wrong ids would otherwise be half a million findings in each alternative.
TokenIds = Annotated[list[TokenId], Field(fail_fast=True, min_length=1)]
Texts = Annotated[list[str], Field(fail_fast=True, min_length=1, max_length=MAX_PROMPTS)]
Prompt = str | TokenIds | Texts | Annotated[list[TokenIds], Field(fail_fast=True, min_length=1, max_length=MAX_PROMPTS)]


class CompletionRequest(GenerationRequest):
    prompt: Prompt
    echo: bool | None = None
    logprobs: int | None = ranged(0, MAX_LOGPROBS)
    best_of: int | None = Field(default=None, description="Only as large as n.")
    suffix: Refused = None

    @property
    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], int):
            return [self.prompt]  # type: ignore[list-item]
        return list(self.prompt)  # type: ignore[arg-type]

    def sampling(self, defaults: Mapping[str, float]) -> SamplingParams:
        self.check_stream_options()
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise InvalidRequestError(f"best_of={self.best_of}: only supported where equal to n", "best_of")
        if self.echo and self.logprobs is not None:
            raise InvalidRequestError("echo together with logprobs is not supported", "echo")
        return self.sampling_params(self.max_tokens, self.logprobs, defaults)


class TextLogprobs(Strict):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class TextChoice(ChoiceModel):
    text: str
    logprobs: TextLogprobs | None
    finish_reason: FinishReasonName | None


class Completion(AnswerModel):
    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: Usage | None = None
