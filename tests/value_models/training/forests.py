"""Small forests written out by hand, and forests of a token MDP."""

from __future__ import annotations

from typing import Any

import numpy as np

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from tests.mavis_core.test_exactness import END, HORIZON, POLICY, PROMPT
from tests.table import TablePolicy
from value_models.rollouts.forest import Forest
from value_models.rollouts.grow import grow
from value_models.rollouts.shape import Shape


def forest(rows: list[tuple[int, int, int, int]], policy: list[list[float]] | None = None) -> Forest:
    """(parent, length, finish, tail) per node; tokens count up, base log-probabilities are 0, so that the one-sample KL
    is ``policy``; the exact one is the same.
    """
    parent, length, finish, tail = np.array(rows, dtype=np.int64).T
    layer = np.full(len(rows), -1)
    for node in range(len(rows)):
        if parent[node] >= 0:
            layer[node] = layer[parent[node]] + 1
    tokens = np.arange(length.sum()) + 1
    logprobs = np.concatenate(policy) if policy else np.zeros(len(tokens))
    return Forest(
        prompt=np.cumsum(parent < 0) - 1,
        parent=parent,
        layer=layer,
        start=np.cumsum(length) - length,
        length=length,
        finish=finish,
        tail=tail,
        tokens=tokens,
        policy_logprobs=logprobs.astype(np.float32),
        base_logprobs=np.zeros(len(tokens), dtype=np.float32),
        tilt_weights=np.zeros((len(rows), 0), dtype=np.float32),
        steering=logprobs.astype(np.float32),
    )


def mdp_engine() -> Engine:
    policy: Any = TablePolicy(POLICY, HORIZON + 1, (END,))
    return Engine(policy, [], EngineConfig(max_num_seqs=512, max_num_batched_tokens=1024, block_size=4))


def mdp_forest(trees: int, shape: Shape, seed: int = 0) -> Forest:
    """Trees of the base policy of ``test_exactness``'s MDP, whose first token may end the text."""
    plain = Guidance(allow_empty=True)
    return grow(mdp_engine(), [(i, [PROMPT]) for i in range(trees)], shape, plain, 0, seed)
