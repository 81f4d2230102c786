"""MOD (arXiv 2406.18853): trained policies as one value of kind ``policy``, whose weights mix their logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mavis_core.model.policy import Policy
from value_models.baselines.policies import Trained
from value_models.identity import identify
from value_models.kinds.policy import POLICY
from value_models.value_config import ObjectiveConfig, ValueConfig


def write_mix(
    folder: Path, trained: Sequence[Trained], step: int, described: Mapping[str, str], policy: Policy
) -> None:
    """Write the value of those policies that learned to earn one reward alone; none is no value.

    Args:
        folder: of the value, beside the policies' own.
        step: of their checkpoints.
        described: reward -> what it is.
        policy: the base model.
    """
    single: dict[str, Trained] = {}
    for each in trained:
        weights = {name: weight for name, weight in each.weights.items() if weight}
        if len(weights) == 1 and min(weights.values()) > 0:
            single.setdefault(next(iter(weights)), each)
    if not single:
        return
    objectives = tuple(ObjectiveConfig(name, f"a policy for: {described[name]}", 0.0, 1.0, 1.0) for name in single)
    tuned = [{"path": f"../{each.folder.name}/{each.checkpoint(step).name}"} for each in single.values()]
    ValueConfig(POLICY.name, objectives, identify(policy), {"tuned": tuned}, {"step": step}).save(folder)
