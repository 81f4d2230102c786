"""Presets as clients and the presets file write them: weights under a name, with how strongly they steer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mavis_core.api.guidance import MAX_BETA, MAX_CANDIDATES, MAX_KL_PER_TOKEN, Guidance
from server.protocol.fields import Strict, ranged
from server.protocol.steered_request import ObjectiveWeights


class PresetGuidance(Strict):
    """Defaults under the request's own ``guidance``, field by field."""

    beta: float | None = ranged(0, MAX_BETA)
    top_k: int | None = ranged(1, MAX_CANDIDATES)
    max_kl_per_token: float | None = ranged(0, MAX_KL_PER_TOKEN)
    normalise: Literal["none", "minmax"] | None = None


class Preset(Strict):
    description: str = Field(default="", max_length=500)
    objective_weights: ObjectiveWeights
    guidance: PresetGuidance = PresetGuidance()

    def check_ranges(self) -> None:
        """Raises InvalidRequestError, naming the field; which objectives exist is not looked at."""
        Guidance(weights=self.objective_weights, **self.guidance.model_dump(exclude_none=True))


class PresetCard(Strict):
    name: str
    object: Literal["preset"]
    source: Literal["file", "database"]
    description: str
    objective_weights: dict[str, float]
    guidance: PresetGuidance


class PresetList(Strict):
    object: Literal["list"]
    data: list[PresetCard]


class Deleted(Strict):
    id: str
    object: Literal["preset.deleted", "preference.deleted"]
    deleted: Literal[True]
