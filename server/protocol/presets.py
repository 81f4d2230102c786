"""Presets as clients and the presets file write them: weights under a name, with how strongly they steer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mavis_core.api.guidance import MAX_BETA, MAX_CANDIDATES, MAX_KL_PER_TOKEN, Scope
from server.protocol.fields import Strict, ranged
from server.protocol.objectives import Instructions
from server.protocol.steered_request import Floors, GuidanceOptions, ObjectiveNames, ObjectiveWeights


class PresetGuidance(Strict):
    """Defaults under the request's own ``guidance``, field by field."""

    beta: float | None = ranged(0, MAX_BETA)
    top_k: int | None = ranged(1, MAX_CANDIDATES)
    max_kl_per_token: float | None = ranged(0, MAX_KL_PER_TOKEN)
    normalise: Literal["none", "minmax"] | None = None
    scope: Scope | None = None
    floors: Floors | None = None
    floors_relative: bool | None = None
    maximise: ObjectiveNames | None = None
    worst_case: ObjectiveNames | None = None

    @property
    def named(self) -> frozenset[str]:
        """Objectives that it names beside the weights."""
        return frozenset((*(self.floors or ()), *(self.maximise or ()), *(self.worst_case or ())))


class Preset(Strict):
    description: str = Field(default="", max_length=500)
    objective_weights: ObjectiveWeights
    objectives: Instructions = Field(default={}, description="Objectives in words of its own.")
    guidance: PresetGuidance = PresetGuidance()

    @property
    def servers_weights(self) -> dict[str, float]:
        """Those of objectives that the server must have; 0 of what ``guidance`` alone names."""
        weights = {**dict.fromkeys(self.guidance.named, 0.0), **self.objective_weights}
        return {name: weight for name, weight in weights.items() if name not in self.objectives}

    def check_ranges(self) -> None:
        """Raises InvalidRequestError, naming the field; which objectives exist is not looked at."""
        GuidanceOptions().with_weights(self.objective_weights, self.guidance.model_dump(exclude_none=True))


class PresetCard(Strict):
    name: str
    object: Literal["preset"]
    source: Literal["file", "database"]
    description: str
    objective_weights: dict[str, float]
    objectives: dict[str, str]
    guidance: PresetGuidance


class PresetList(Strict):
    object: Literal["list"]
    data: list[PresetCard]


class Deleted(Strict):
    id: str
    object: Literal["preset.deleted", "preference.deleted"]
    deleted: Literal[True]
