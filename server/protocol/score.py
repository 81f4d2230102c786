"""``POST /v1/score``: what weights make of answers that are there already, whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import MAX_CHOICES, SamplingParams
from server.protocol.answers import AnswerModel, ChoiceGuidance, Usage
from server.protocol.chat import HINT, TemplateVariables, thinking_hints
from server.protocol.chat_messages import Messages
from server.protocol.completions import TokenIds
from server.protocol.fields import Refused, Strict
from server.protocol.sampling import SampledRequest
from server.text.rendering import Rendering
from server.tools.use import Constraint

SIMILARITY = ("text_1", "text_2", "queries", "query", "documents", "items", "data_1", "data_2")
OF_MESSAGES = (
    "add_generation_prompt", "continue_final_message", "chat_template_kwargs", "reasoning_effort", "enable_thinking",
)  # fmt: skip


class ScoreRequest(SampledRequest):
    """Messages or a prompt, and answers to it. Sampling fields count as far as they change what is drawn from."""

    messages: Messages | None = None
    prompt: str | TokenIds | None = None
    answers: Annotated[list[str | TokenIds], Field(fail_fast=True, min_length=1, max_length=MAX_CHOICES)] = Field(
        description="Texts or lists of token ids."
    )
    add_special_tokens: bool | None = Field(default=None, description="null is true for a prompt, false for messages.")
    add_generation_prompt: bool | None = Field(default=None, description="null is true unless a message goes on.")
    continue_final_message: bool | None = Field(default=None, description="The answers go on with the last message.")
    chat_template_kwargs: TemplateVariables | None = Field(
        default=None, description="Variables of the template; others are left out."
    )
    reasoning_effort: str | None = Field(default=None, description=HINT)
    enable_thinking: bool | None = Field(default=None, description=HINT)

    # Answers would have been drawn from less than is scored here.
    tools: Refused = None
    response_format: Refused = None
    structured_outputs: Refused = None
    guided_json: Refused = None
    guided_regex: Refused = None
    guided_choice: Refused = None
    guided_grammar: Refused = None
    guided_json_object: Refused = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_similarity(cls, value: Any) -> Any:
        """vLLM's request of the same name compares texts by a model that was trained for it."""
        if isinstance(value, dict) and (found := next((name for name in SIMILARITY if name in value), None)):
            raise InvalidRequestError(
                f"{found}: /v1/score here scores answers under objective_weights: send messages or prompt, and "
                "answers; similarity of texts, vLLM's score and rerank, takes a model that was trained for it",
                found,
            )
        return value

    def check(self) -> None:
        """Raises InvalidRequestError where fields do not go together."""
        if (self.prompt is None) == (self.messages is None):
            raise InvalidRequestError("one of prompt and messages is required, and only one", "prompt")
        for name in OF_MESSAGES:
            if self.messages is None and getattr(self, name) is not None:
                raise InvalidRequestError(f"{name}: only allowed with messages", name)
        if self.stream:
            raise InvalidRequestError("stream: scores are not streamed", "stream")
        if self.guidance is not None and self.guidance.search is not None:
            raise InvalidRequestError("guidance.search: the answers are given, none is searched for", "guidance.search")

    def sampling(self, defaults: Mapping[str, float]) -> SamplingParams:
        self.check()
        asked = self.sampling_params(defaults, n=len(self.answers), max_tokens=None)
        return replace(asked, stop=(), seed=0)  # what is given neither stops early nor is drawn

    def constraint(self) -> Constraint | None:
        return None

    def rendering(self) -> Rendering:
        return Rendering(
            add_generation_prompt=self.add_generation_prompt,
            continue_final_message=bool(self.continue_final_message),
            add_special_tokens=bool(self.add_special_tokens),
            variables=self.chat_template_kwargs or {},
            hints=thinking_hints(self.reasoning_effort, self.enable_thinking),
        )


class Reward(Strict):
    """A reward of the whole text; ``standardised`` by the constants of the objective of that name, null without one."""

    raw: float
    standardised: float | None


class AnswerScore(Strict):
    """One answer; sums are null where a token is ``outside``, which has no probability."""

    index: int
    logprob: float | None = Field(description="Of all tokens, under the weights.")
    base_logprob: float | None = Field(description="Of all tokens, under the model itself.")
    outside: int = Field(description="Tokens that cannot be drawn under the weights: no candidates, or banned.")
    values: dict[str, float] = Field(description="Objective -> value of the whole answer.")
    score: float | None = Field(description="The weights times the values; null without weights.")
    rewards: dict[str, Reward] | None = None
    guidance: ChoiceGuidance


class Scores(AnswerModel):
    object: Literal["score"]
    answers: list[AnswerScore]
    usage: Usage
