"""The strength of a request that leaves it open: the recommended ones of its objectives, averaged by |lambda|."""

from __future__ import annotations

from collections.abc import Mapping

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.prompted import RECOMMENDED_BETA


def recommended_beta(weights: Mapping[str, float], objectives: Mapping[str, ObjectiveInfo]) -> float:
    """beta in nats per reward standard deviation; some weight is not 0. Names that are no key of ``objectives`` are
    objectives in words.
    """
    total = sum(abs(weight) for weight in weights.values())
    betas = {name: objectives[name].recommended_beta if name in objectives else RECOMMENDED_BETA for name in weights}
    return sum(abs(weight) * betas[name] for name, weight in weights.items()) / total
