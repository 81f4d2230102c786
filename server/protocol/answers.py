"""The fields of every generated answer: ids, usage, and what steering did.

``guidance`` is on every choice, guided or not, so that a client reads one shape: an unguided choice has source
"none" (or the source of its zero weights), beta 0 and no KL.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.protocol.fields import Strict
from server.weights import Source

ChatFinishReason = Literal["stop", "length", "tool_calls"]


class PromptTokensDetails(Strict):
    cached_tokens: int


class CompletionTokensDetails(Strict):
    reasoning_tokens: int


class Usage(Strict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails | None = Field(default=None, description="Of chats.")


class TokenSteering(Strict):
    """One token (``guidance.report``); log-probabilities and KL in nats, values in z units.

    Only a given token (``/v1/score``) has null for a log-probability: it cannot be drawn.
    """

    token: str
    token_id: int
    logprob: float | None
    base_logprob: float | None
    steering_nats: float
    truncation_nats: float
    values: dict[str, float]
    steered: bool = Field(description="Whether guidance.scope means this token; of others the KL is 0.")


class EchoGuidance(Strict):
    """Of an echoed prompt that is steered, but its first token: what to draw there would have cost.

    ``outside`` are no candidates, and so null in ``tokens`` (``guidance.report``), which are as of an answer.
    """

    scored: int
    outside: int
    kl_nats: float
    kl_per_token: float
    steering_nats: float
    truncation_nats: float
    values: dict[str, float]
    tokens: list[TokenSteering] | None = None


class SearchReport(Strict):
    """What ``guidance.search`` did; ``kl_bound_nats`` comes on top of ``kl_nats`` and is null for method beam."""

    method: str
    rounds: int
    samples: int
    tokens: int
    score: float
    kl_bound_nats: float | None


class SteeringChanged(Strict):
    """How a choice was steered from its token number ``token`` on, counted from 0."""

    token: int
    weights: dict[str, float]
    beta: float
    max_kl_per_token: float | None


class ChoiceGuidance(Strict):
    """``kl_nats`` = ``steering_nats`` + ``truncation_nats``: the exact full-vocabulary KL, summed over tokens."""

    weights: dict[str, float]
    source: Source
    beta: float
    kl_nats: float
    kl_per_token: float
    steering_nats: float
    truncation_nats: float
    steered_tokens: int = Field(default=0, description="Those that guidance.scope means; the others cost no KL.")
    values: dict[str, float]
    bounded: dict[str, float | bool | str] | None = Field(
        default=None, description="Fields that the operator's bounds have changed, and what they are instead."
    )
    companion_tokens: int | None = Field(default=None, description="Read beside the choice for objectives in words.")
    found_weights: dict[str, float] | None = Field(
        default=None, description="Mean weight of each objective over tokens, where floors and the like find weights."
    )
    floors_missed: dict[str, int] | None = Field(
        default=None, description="Objective -> tokens at which its floor was not met."
    )
    search: SearchReport | None = None
    echo: EchoGuidance | None = None
    changes: list[SteeringChanged] | None = Field(default=None, description="Made while it was written.")
    ignored: list[str] | None = None
    tokens: list[TokenSteering] | None = None


class ChunkGuidance(Strict):
    """The guidance of a chunk that is not a choice's last: what was asked for (``guidance.report``), and in the first
    chunk that is steered otherwise the change."""

    tokens: list[TokenSteering] | None = None
    change: SteeringChanged | None = None


class PromptLogprob(Strict):
    """vLLM's; ``rank`` is known for the most likely tokens only."""

    logprob: float
    rank: int | None
    decoded_token: str


PromptLogprobs = list[dict[str, PromptLogprob] | None]


class ChoiceModel(Strict):
    index: int
    token_ids: list[int] | None = None
    stop_reason: str | int | None = None
    guidance: ChoiceGuidance | ChunkGuidance | None = None


class AnswerModel(Strict):
    id: str
    created: int
    model: str
    system_fingerprint: str


class ErrorObject(Strict):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(Strict):
    error: ErrorObject
