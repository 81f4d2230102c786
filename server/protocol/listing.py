"""Answers of the endpoints that describe the server: models ("List models" page), objectives, state, version."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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


class ObjectiveList(Strict):
    object: Literal["list"]
    data: list[ObjectiveCard]


class State(Strict):
    status: Literal["loading", "ready", "draining", "dead"]


class Load(Strict):
    """vLLM's."""

    server_load: int


class Version(Strict):
    version: str
