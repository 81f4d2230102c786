"""``POST /v1/completions``: request (OpenAI's "Create completion" page) and answer; chunks have the answer's shape.

A prompt is text or token ids, one or several. ``echo`` returns the prompt first, with ``logprobs`` those of its tokens
too; ``max_tokens: 0`` then scores it and generates nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from mavis_core.api.bounds import check_integer
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.messages import FinishReason
from mavis_core.api.sampling_params import MAX_LOGPROBS, MAX_TOKEN_ID, SamplingParams
from server.protocol.answers import AnswerModel, ChoiceModel, PromptLogprobs, Usage
from server.protocol.fields import Refused, Strict, ranged
from server.protocol.generation import GenerationRequest
from server.protocol.sampling import TokenId

MAX_PROMPTS = 128
DEFAULT_MAX_TOKENS = 16
# fail_fast: half a million wrong ids would otherwise be half a million findings in each alternative.
TokenIds = Annotated[list[TokenId], Field(fail_fast=True, min_length=1)]
Texts = Annotated[list[str], Field(fail_fast=True, min_length=1, max_length=MAX_PROMPTS)]
PromptField = (
    str | TokenIds | Texts | Annotated[list[TokenIds], Field(fail_fast=True, min_length=1, max_length=MAX_PROMPTS)]
)


class CompletionRequest(GenerationRequest):
    prompt: PromptField
    logprobs: int | None = ranged(0, MAX_LOGPROBS)
    best_of: int | None = Field(default=None, description="Only as large as n.")
    messages: Refused = None
    suffix: Refused = None
    prompt_embeds: Refused = None

    @property
    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], int):
            return [self.prompt]  # type: ignore[list-item]
        return list(self.prompt)  # type: ignore[arg-type]

    def sampling(self, defaults: Mapping[str, float]) -> SamplingParams:
        self.check_stream()
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise InvalidRequestError(f"best_of={self.best_of}: only supported where equal to n", "best_of")
        scored = self.echo or self.prompt_logprobs is not None
        if self.max_tokens is not None:
            check_integer("max_tokens", self.max_tokens, 0 if scored else 1, MAX_TOKEN_ID)
        for name in ("logprobs", "prompt_logprobs"):
            if (value := getattr(self, name)) is not None:
                check_integer(name, value, 0, MAX_LOGPROBS)
        return self.sampling_params(
            defaults,
            n=self.n,
            max_tokens=self.max_tokens,
            logprobs=self.logprobs,
            prompt_logprobs=self._prompt_logprobs(),
        )

    def _prompt_logprobs(self) -> int | None:
        """The most that the answer will show for the prompt; without generating, the prompt is always scored."""
        wanted = [self.prompt_logprobs]
        if self.echo:
            wanted += [self.logprobs, 0 if self.max_tokens == 0 else None]
        return max((value for value in wanted if value is not None), default=None)


class TextLogprobs(Strict):
    """Per token; the first of an echoed prompt has none."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class TextChoice(ChoiceModel):
    text: str
    logprobs: TextLogprobs | None
    finish_reason: FinishReason | None
    prompt_logprobs: PromptLogprobs | None = None
    prompt_token_ids: list[int] | None = None


class Completion(AnswerModel):
    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: Usage | None = None
    obfuscation: str | None = None
