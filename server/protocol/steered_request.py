"""The fields that steer, ``objective_weights`` and ``guidance``, and what every steered request has beside them.

Clients of the official library send them through ``extra_body``. Weights are a plain map on the top level because
that is what changes from request to request; how the tilt works is grouped under ``guidance``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mavis_core.api.guidance import (
    MAX_BETA,
    MAX_CANDIDATES,
    MAX_FLOOR,
    MAX_KL_PER_TOKEN,
    MAX_SOLVED,
    MAX_WEIGHT,
    Guidance,
    Scope,
)
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import MAX_CHUNK_TOKENS, MAX_SEARCH_ROWS, SearchParams
from server.protocol.fields import Strict, Tolerant, entries, ranged
from server.protocol.objectives import Instructions
from server.tools.use import Constraint, ToolUse

Weight = Annotated[float, Field(json_schema_extra={"minimum": -MAX_WEIGHT, "maximum": MAX_WEIGHT})]
ObjectiveWeights = Annotated[dict[str, Weight], Field(max_length=64), entries(64)]
Floor = Annotated[float, Field(json_schema_extra={"minimum": -MAX_FLOOR, "maximum": MAX_FLOOR})]
Floors = Annotated[dict[str, Floor], Field(max_length=MAX_SOLVED), entries(MAX_SOLVED)]
ObjectiveNames = Annotated[list[str], Field(max_length=MAX_SOLVED)]
CacheSalt = Annotated[str, Field(min_length=1, max_length=1024)]


# Fields that steer; what nearly is one of them is refused, wherever it stands.
STEERING = ("objective_weights", "objectives", "guidance")
# What else somebody may write at the top of a body who wants to steer.
OTHER_WORDS = {
    "weights": "objective_weights",
    "beta": "guidance.beta", "max_kl_per_token": "guidance.max_kl_per_token", "normalise": "guidance.normalise",
    "allow_empty": "guidance.allow_empty", "floors": "guidance.floors", "worst_case": "guidance.worst_case",
}  # fmt: skip


class SearchOptions(Strict):
    method: Literal["chunk", "best_of", "beam"]
    beams: int | None = ranged(1, MAX_SEARCH_ROWS, "Hypotheses that are kept; 1 unless given.")
    successors: int | None = ranged(1, MAX_SEARCH_ROWS, "Continuations of each; 4 unless given.")
    chunk_tokens: int | None = ranged(1, MAX_CHUNK_TOKENS, "Tokens per round of method chunk; 8 unless given.")
    scorer: Literal["values", "rewards"] | None = None
    tilt: bool | None = Field(default=None, description="False: only choosing steers, draws are the base model's.")

    def params(self) -> SearchParams:
        """Raises InvalidRequestError on a value out of range or without a use."""
        return SearchParams(**self.model_dump(exclude_none=True))


class GuidanceOptions(Strict):
    beta: float | None = ranged(0, MAX_BETA, "Strength; null is the objectives' recommended one.")
    top_k: int | None = ranged(1, MAX_CANDIDATES, "Candidates per step; 40 unless given.")
    max_kl_per_token: float | None = ranged(0, MAX_KL_PER_TOKEN, "Most steering KL per token, in nats.")
    normalise: Literal["none", "minmax"] | None = None
    allow_empty: bool | None = Field(default=None, description="A guided answer may begin with a stop token.")
    scope: Scope | None = Field(
        default=None,
        description="What is steered: answer (unless given; no tool calls, literals, reasoning), reasoning, all.",
    )
    report: bool | None = Field(default=None, description="Per token: log-probabilities, KL, values.")
    report_ignored: bool | None = Field(default=None, description="Which of the request's fields were left out.")
    search: SearchOptions | None = Field(default=None, description="Choose the answer among several.")
    floors: Floors | None = Field(default=None, description="Objective -> least expected value at each step.")
    floors_relative: bool | None = Field(default=None, description="Floors count from the base model's expectation.")
    maximise: ObjectiveNames | None = Field(default=None, description="As far up as max_kl_per_token allows.")
    worst_case: ObjectiveNames | None = Field(default=None, description="The least of these counts: weights are found.")

    def with_weights(self, weights: Mapping[str, float], defaults: Mapping[str, Any]) -> Guidance:
        """What the request says, else ``defaults``; raises InvalidRequestError on a value out of range."""
        given = self.model_dump(exclude={"search", "report_ignored"}, exclude_none=True)
        search = None if self.search is None else self.search.params()
        asked: dict[str, Any] = {**defaults, **given}
        for field in {"maximise", "worst_case"} & asked.keys():
            asked[field] = tuple(asked[field])
        return Guidance(weights=dict(weights), search=search, **asked)


class SteeredRequest(Tolerant):
    """What ``server.requests.resolved_request`` reads of any request that generates, whatever its endpoint."""

    model: str | None = Field(default=None, description="A name from /v1/models; null is the first of them.")
    stream: bool | None = None
    user: str | None = Field(default=None, description="Whose stored preferences apply.")
    cache_salt: CacheSalt | None = Field(
        default=None, description="Prompts share cached KV only with those of the same salt (vLLM's)."
    )
    objective_weights: ObjectiveWeights | None = Field(
        default=None, description="Objective name -> weight; negative ones avoid it. {} asks for the plain model."
    )
    objectives: Instructions | None = Field(
        default=None,
        description='Objectives in words, weighed by objective_weights: {"pirate": "Talk like a pirate."}.',
    )
    guidance: GuidanceOptions | None = None

    @abstractmethod
    def sampling(self, defaults: Mapping[str, float]) -> SamplingParams:
        """What the request says, else the checkpoint's ``defaults``; raises InvalidRequestError."""

    @abstractmethod
    def constraint(self) -> Constraint | None:
        """The form that the answer must have; raises InvalidRequestError if two fields ask for one."""

    def tool_use(self) -> ToolUse:
        """The tools, and which of them must be called; raises InvalidRequestError."""
        return ToolUse()

    @property
    def whose(self) -> str | None:
        """The user whose stored preferences apply."""
        return self.user

    @property
    def wants_left_out(self) -> bool:
        """Whether the answer tells what of the request was left out."""
        return bool(self.guidance and self.guidance.report_ignored)

    @property
    def include_usage(self) -> bool:
        return False

    @property
    def continuous_usage(self) -> bool:
        return False

    @property
    def obfuscated(self) -> bool:
        """Whether pieces of a stream are padded."""
        return False
