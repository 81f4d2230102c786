"""The fields that steer: ``objective_weights`` and ``guidance``.

Clients of the official library send them through ``extra_body``. Weights are a plain map on the top level because
that is what changes from request to request; how the tilt works is grouped under ``guidance``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mavis_core.guidance import MAX_BETA, MAX_CANDIDATES, MAX_KL_PER_TOKEN, MAX_WEIGHT, Guidance
from server.protocol.fields import Refused, Strict, ranged

Weight = Annotated[float, Field(json_schema_extra={"minimum": -MAX_WEIGHT, "maximum": MAX_WEIGHT})]
ObjectiveWeights = Annotated[dict[str, Weight], Field(max_length=64)]


class GuidanceOptions(Strict):
    beta: float | None = ranged(0, MAX_BETA, "Strength; null is the objectives' recommended one.")
    top_k: int | None = ranged(1, MAX_CANDIDATES, "Candidates per step; 40 unless given.")
    max_kl_per_token: float | None = ranged(0, MAX_KL_PER_TOKEN, "Most steering KL per token, in nats.")
    normalise: Literal["none", "minmax"] | None = None
    allow_empty: bool | None = Field(default=None, description="A guided answer may begin with a stop token.")
    report: bool | None = Field(default=None, description="Per token: log-probabilities, KL, values.")
    search: Refused = None

    def with_weights(self, weights: Mapping[str, float], defaults: Mapping[str, Any]) -> Guidance:
        """What the request says, else ``defaults``; raises InvalidRequestError on a value out of range."""
        given = {name: value for name, value in self.model_dump(exclude={"search"}).items() if value is not None}
        return Guidance(weights=dict(weights), **{**defaults, **given})
