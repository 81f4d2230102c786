"""Stored preferences of an app's users."""

from __future__ import annotations

from typing import Literal

from server.protocol.fields import Strict
from server.protocol.steered_request import ObjectiveWeights


class PreferenceRequest(Strict):
    objective_weights: ObjectiveWeights


class PreferenceCard(Strict):
    user: str
    object: Literal["preference"]
    objective_weights: dict[str, float]
    updated_at: int
