"""The strength of a request that leaves it open: the recommended ones of its objectives, averaged by |lambda|."""

from __future__ import annotations

from collections.abc import Mapping

from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.prompted import RECOMMENDED_BETA


def recommended_beta(guidance: Guidance, objectives: Mapping[str, ObjectiveInfo]) -> float:
    """beta in nats per reward standard deviation of an active guidance. Names that are no key of ``objectives`` are
    objectives in words.

    In the worst case each objective counts 1/n; where there are only floors, or something to maximise, all alike.
    """
    sizes = {name: abs(guidance.weights.get(name, 0.0)) for name in guidance.named}
    for name in guidance.worst_case:
        sizes[name] += 1 / len(guidance.worst_case)
    if not any(sizes.values()):
        sizes = dict.fromkeys((*guidance.floors, *guidance.maximise), 1.0)
    betas = {name: objectives[name].recommended_beta if name in objectives else RECOMMENDED_BETA for name in sizes}
    return sum(size * betas[name] for name, size in sizes.items()) / sum(sizes.values())
