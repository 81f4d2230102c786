"""Measures on a tree small enough to do by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.value_models.training.forests import forest
from tests.value_models.training.test_targets import REWARDS, ROWS
from value_models.rollouts.forest import Forest
from value_models.training.measures import measure, rank_siblings
from value_models.training.targets import future_targets

TREE = forest(ROWS)
TARGETS = future_targets(TREE, REWARDS)[:, 0]


def test_siblings_are_ranked_within_their_node_only() -> None:
    """Pairs: (2, 3), (6, 7), (1, 4), (1, 8), (4, 8); the tail 5 has none."""
    assert rank_siblings(TREE, TARGETS, TARGETS) == (5, 5)
    assert rank_siblings(TREE, -TARGETS, TARGETS) == (0, 5)
    assert rank_siblings(TREE, np.zeros(9), TARGETS) == (2.5, 5)
    predicted = TARGETS.copy()
    predicted[[2, 3]] = predicted[[3, 2]]
    predicted[5] = -1e6
    assert rank_siblings(TREE, predicted, TARGETS) == (4, 5)
    equal = TARGETS.copy()
    equal[[6, 7]] = 1.0
    assert rank_siblings(TREE, predicted, equal)[1] == 4, "equal targets rank nobody"


def test_errors_beside_the_trivial_predictors() -> None:
    found = measure(TREE, TARGETS + 0.5, TARGETS, 2.0)
    assert found.mse == pytest.approx(0.25)
    assert found.mse_constant == pytest.approx(np.mean((TARGETS[1:] - 2) ** 2))
    assert found.mse_prompt_mean == pytest.approx(np.mean((TARGETS[1:] - TARGETS[0]) ** 2))
    assert found.calibration_error == pytest.approx(0.5)
    assert all(x - y == pytest.approx(0.5) for x, y in found.calibration)


def test_the_prompt_mean_is_each_trees_own() -> None:
    two = Forest.concatenate([TREE, TREE])
    targets = np.concatenate((TARGETS, TARGETS + 100))
    found = measure(two, targets, targets, 0.0)
    assert found.mse_prompt_mean == pytest.approx(np.mean((TARGETS[1:] - TARGETS[0]) ** 2))


def test_a_flat_forest_of_one_response_has_no_pairs() -> None:
    found = measure(forest([ROWS[0], (0, 3, 1, 0)]), np.zeros(2), np.ones(2), 1.0)
    assert math.isnan(found.ranking) and math.isnan(found.ranking_error)
    assert (found.pairs, found.trees) == (0, 0)


def test_the_error_of_the_ranking_comes_from_how_trees_differ() -> None:
    """One tree all right, one all wrong: 5 of 10 pairs, which is no evidence of anything."""
    two = Forest.concatenate([TREE, TREE])
    targets = np.concatenate((TARGETS, TARGETS))
    split = measure(two, np.concatenate((TARGETS, -TARGETS)), targets, 0.0)
    assert (split.ranking, split.pairs, split.trees) == (0.5, 10, 2)
    assert split.ranking_error == pytest.approx(math.sqrt((2.5**2 + 2.5**2) * 2) / 10)
    assert measure(two, targets, targets, 0.0).ranking_error == 0
    assert math.isnan(measure(TREE, TARGETS, TARGETS, 0.0).ranking_error)
