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


class Usage(Strict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class TokenSteering(Strict):
    """One token (``guidance.report``); log-probabilities and KL in nats, values in z units."""

    token: str
    token_id: int
    logprob: float
    base_logprob: float
    steering_nats: float
    truncation_nats: float
    values: dict[str, float]


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
    values: dict[str, float]
    companion_tokens: int | None = Field(default=None, description="Read beside the choice for objectives in words.")
    search: SearchReport | None = None
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
