"""Kind ``policy``: fine-tuned policies to mix (MOD).

    V_m(s + a) = log pi_m(a | s) - log pi_0(a | s)        nats; pi_0 is the served policy

This is an ``implicit`` value whose untuned model is the policy itself, without z-scoring. At temperature 1 and beta 1
the tilt then is MOD: p ~ exp(sum_m lambda_m logits_m) where the lambda sum to 1. What they leave to 1 stays with the
policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from mavis_core.api.errors import LoadError
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.policy import Policy
from value_models.kinds.implicit import ImplicitValue
from value_models.kinds.kind import Kind
from value_models.kinds.tuned_models import THE_POLICY, architecture, folders_beside, read_models, write_models
from value_models.value_config import CONFIG_FILE, ValueConfig


def load_policies(
    folder: Path, config: ValueConfig, objectives: Sequence[ObjectiveInfo], policy: Policy
) -> ImplicitValue:
    tuned, _ = architecture(folder, config, "tuned")
    if any(objective.reward_mean or objective.reward_std != 1 for objective in objectives):
        raise LoadError(
            f"{folder / CONFIG_FILE}: objectives: of kind 'policy' are in nats: reward_mean 0 and reward_std 1"
        )
    return ImplicitValue(folder.name, objectives, *read_models(folder, tuned, THE_POLICY, policy), policy)


def save_policies(folder: Path, config: ValueConfig, tuned: list[nn.Module]) -> None:
    """Write the policies of a value; the config's architecture is made here."""
    write_models(folder, config, tuned, None)


POLICY = Kind(name="policy", value=ImplicitValue, load=load_policies, additive=True, beside=folders_beside)
