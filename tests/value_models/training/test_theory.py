"""Claims about iterating, exactly and through the pipeline, on a token MDP that is solved by backward induction."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from tests.mavis_core.test_exactness import BASE, END, HORIZON, POLICY, PROMPT, VOCAB, index
from tests.models import objective as described
from tests.table import TablePolicy, TableValue
from tests.value_models.training.mdp import (
    Text,
    Values,
    base,
    best_at_kl,
    evaluate,
    objective,
    outcome,
    reward,
    soft_optimum,
    tilted,
)
from value_models.rollouts.forest import Forest
from value_models.rollouts.grow import grow
from value_models.rollouts.shape import Shape
from value_models.training.targets import KlTarget, examples

BETA = 2.0


def iterate(kl: KlTarget, rounds: int) -> list[float]:
    """E[R] - KL / beta of exact iterations: values of the newest policy, penalised at zeta = 1 / beta."""
    values = evaluate(base)
    found = []
    for _ in range(rounds):
        policy = tilted(values, BETA)
        found.append(objective(policy, BETA))
        values = evaluate(policy, 1 / BETA, path=kl == "path")
    return found


def test_future_only_iteration_is_monotone_and_converges_to_the_soft_optimum() -> None:
    found, best = iterate("future", 6), soft_optimum(BETA)[()]
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(found))
    assert found[0] < best - 0.05
    assert found[-1] == pytest.approx(best, abs=1e-9)


def test_the_papers_path_variant_oscillates() -> None:
    """It undoes and overdoes in turn, and ends below the base policy's own mean reward."""
    found, best = iterate("path", 6), soft_optimum(BETA)[()]
    steps = np.sign(np.diff(found))
    assert steps.tolist() == [-1, 1, -1, 1, -1]
    assert max(found[1:]) < best - 0.3
    assert found[-1] < evaluate(base)[()] - 1


def sample(values: Values | None, seed: int, trees: int = 700) -> Forest:
    """Trees of the base policy, or of the one that ``values`` tilt, drawn by the engine."""
    policy: Any = TablePolicy(POLICY, HORIZON + 1, (END,))
    loaded, guidance = [], Guidance(allow_empty=True)
    if values is not None:
        table = torch.zeros(BASE ** (HORIZON + 1), 1)
        for text, value in values.items():
            table[index(text)] = value
        loaded = [TableValue([described("mix")], table, VOCAB)]
        guidance = Guidance({"mix": 1.0}, beta=BETA, top_k=VOCAB, allow_empty=True)
    engine = Engine(policy, loaded, EngineConfig(max_num_seqs=512, max_num_batched_tokens=1024, block_size=4))
    shape = Shape(layers=4, max_tokens=HORIZON)
    return grow(engine, [(i, [PROMPT]) for i in range(trees)], shape, guidance, 0, seed)


def regress(trees: Forest, zeta: float, shuffled: bool = False) -> Values:
    """The least-squares table: per text the mean of its examples."""
    scores = np.array([[reward(tuple(trees.response(leaf)))] for leaf in trees.leaves.tolist()])
    if shuffled:
        scores = np.random.default_rng(0).permutation(scores)
    at, targets = examples(trees, scores, True, zeta)
    owner = np.repeat(np.arange(len(trees)), trees.length)
    collected: dict[Text, list[float]] = {}
    for token, target in zip(at.tolist(), targets[:, 0].tolist(), strict=True):
        node = int(owner[token])
        text = trees.response(node)[
            : len(trees.response(node)) - int(trees.start[node] + trees.length[node] - 1 - token)
        ]
        collected.setdefault(tuple(text), []).append(target)
    return {text: float(np.mean(found)) for text, found in collected.items()}


def share(values: Values) -> tuple[float, float]:
    """(gain of reward as a share of what is possible for the same KL, that KL)."""
    earned, nats = outcome(tilted(values, BETA))
    start = outcome(base)[0]
    return (earned - start) / (best_at_kl(nats) - start), nats


def test_values_from_sampled_trees_reach_the_optimum_at_matched_kl() -> None:
    """Three rounds of rollouts on the engine, targets with the future penalty, least squares."""
    values = regress(sample(None, 0), 0.0)
    first, nats = share(values)
    assert 0.8 < first < 0.97, "the base policy's own values are not the soft optimum's"
    for round_ in (1, 2):
        values = regress(sample(values, round_), 1 / BETA)
    last, spent = share(values)
    assert last >= 0.97, (first, last, nats, spent)
    assert 0.5 < spent < 1.0


def test_shuffled_labels_train_a_value_that_earns_nothing() -> None:
    values = regress(sample(None, 0, 150), 0.0, shuffled=True)
    earned, nats = outcome(tilted(values, BETA))
    assert earned - outcome(base)[0] < 0.15 * (best_at_kl(nats) - outcome(base)[0])
