"""A value's config as it is written next to a trained value."""

from __future__ import annotations

from typing import Any

from mavis_core.model.policy import Policy
from tests.models import HIDDEN, RANK, WIDTH
from value_models.identity import identify
from value_models.value_config import ObjectiveConfig, ValueConfig

HEAD: dict[str, Any] = {"hidden_size": HIDDEN, "width": WIDTH, "rank": RANK}


def value_config(
    policy: Policy, *names: str, kind: str = "head", architecture: dict[str, Any] | None = None
) -> ValueConfig:
    objectives = tuple(ObjectiveConfig(n, f"about {n}", 0.25, 1.5, 2.0, (-3.0, 5.0)) for n in names)
    return ValueConfig(kind, objectives, identify(policy), architecture or HEAD, {"seed": 3})
