"""RSoup: several policies averaged parameter by parameter into one (rewarded soups, arXiv 2306.04488)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mavis_core.api.errors import LoadError
from mavis_core.model.policy import Policy


@torch.no_grad()
def soup(policies: Sequence[Policy], weights: Sequence[float]) -> Policy:
    """sum_m lambda_m theta_m, written into the first policy's parameters.

    Args:
        policies: of one architecture, trained from the same weights; the first one is changed and given back.
        weights: lambda, one per policy.

    Raises:
        LoadError: the parameters differ in name or shape.
    """
    first = policies[0]
    states = [dict(policy.model.named_parameters()) for policy in policies]
    for policy, state in zip(policies, states, strict=True):
        if {n: p.shape for n, p in state.items()} != {n: p.shape for n, p in states[0].items()}:
            raise LoadError(f"{policy.name}: its parameters are not those of {first.name}: no average of both")
    for name, parameter in states[0].items():
        parts = zip(weights, (state[name] for state in states), strict=True)
        parameter.copy_(sum(weight * part for weight, part in parts))
    return first
