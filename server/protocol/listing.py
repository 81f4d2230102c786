"""Answers of the endpoints that describe the server: models ("List models" page), objectives, state, version."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.bounds.bounds import Range
from server.protocol.fields import Strict


class ModelCard(Strict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    max_model_len: int
    preset: str | None


class ModelList(Strict):
    object: Literal["list"]
    data: list[ModelCard]


class ObjectiveCard(Strict):
    name: str
    object: Literal["objective"]
    description: str
    kind: str
    value: str
    reward_mean: float
    reward_std: float
    recommended_beta: float
    weight_range: tuple[float, float]
    additive: bool
    conditioned: bool
    pull_range: tuple[float, float] | None
    instruction: str | None = Field(description="Of an objective in words (kind prompted): what the model is told.")


class CallersBounds(Strict):
    """Of the key that asks; ``weight_range`` of the objectives is within its bounds too."""

    beta: Range
    max_kl_per_token: Range
    own_objectives: bool


class ObjectiveList(Strict):
    object: Literal["list"]
    bounds: CallersBounds
    data: list[ObjectiveCard]


class State(Strict):
    status: Literal["loading", "ready", "draining", "dead"]


class Load(Strict):
    """vLLM's."""

    server_load: int


class Version(Strict):
    version: str
