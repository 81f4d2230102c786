"""What a value is good for, measured on trees that it has not seen.

Decoding compares candidates after one and the same text. So beside the squared error there is how often a value ranks
siblings as their targets do. The squared error itself stands beside those of two predictors that know nothing of the
response: the mean over all training nodes, and the mean over the tree's own responses, which no value is given. Targets
are noisy samples, so neither an error of 0 nor a ranking of 1 can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from value_models.rollouts.forest import Forest

Array = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True, slots=True)
class Measures:
    """Of one objective, at node ends of held-out trees, in z-units.

    Attributes:
        mse, mse_constant, mse_prompt_mean: of the value and of the two trivial predictors.
        ranking: share of sibling pairs with different targets that are ranked as these; 0.5 is chance.
        ranking_error: standard error of ``ranking``. Pairs of one tree share their texts, so it is told by how trees
            differ; NaN where fewer than two have pairs.
        pairs: how many such pairs.
        trees: how many trees have such pairs.
        calibration: per tenth of the predictions, lowest first: (mean prediction, mean target).
        calibration_error: mean absolute difference of the two.
    """

    mse: float
    mse_constant: float
    mse_prompt_mean: float
    ranking: float
    ranking_error: float
    pairs: int
    trees: int
    calibration: tuple[tuple[float, float], ...]
    calibration_error: float


def measure(forest: Forest, predicted: Array, targets: Array, constant: float) -> Measures:
    """Measures of one objective.

    Args:
        forest: of N nodes.
        predicted, targets: (N,) at node ends; entries of roots: ``predicted`` is ignored, ``targets`` are the mean
            over the prompt's own responses.
        constant: mean of the training targets.
    """
    nodes = np.flatnonzero(forest.parent >= 0)
    root = forest.roots[np.cumsum(forest.parent < 0) - 1]
    guess, truth = predicted[nodes], targets[nodes]
    right, pairs = rank_by_tree(forest, predicted, targets)
    ranking = right.sum() / pairs.sum() if pairs.any() else float("nan")
    bins = tuple(
        (float(guess[own].mean()), float(truth[own].mean()))
        for own in np.array_split(np.argsort(guess, kind="stable"), BINS)
        if len(own)
    )
    return Measures(
        mse=float(np.mean((guess - truth) ** 2)),
        mse_constant=float(np.mean((constant - truth) ** 2)),
        mse_prompt_mean=float(np.mean((targets[root[nodes]] - truth) ** 2)),
        ranking=float(ranking),
        ranking_error=_error(right, pairs),
        pairs=int(pairs.sum()),
        trees=int(np.sum(pairs > 0)),
        calibration=bins,
        calibration_error=float(np.mean([abs(x - y) for x, y in bins])),
    )


def rank_siblings(forest: Forest, predicted: Array, targets: Array) -> tuple[float, int]:
    """(pairs ranked right, pairs with different targets); a tie is half right. Tails have no siblings."""
    right_by_tree, pairs = rank_by_tree(forest, predicted, targets)
    return float(right_by_tree.sum()), int(pairs.sum())


def rank_by_tree(forest: Forest, predicted: Array, targets: Array) -> tuple[Array, Array]:
    """``rank_siblings`` of every tree: two times (R,)."""
    tree = np.cumsum(forest.parent < 0) - 1
    right, pairs = np.zeros(len(forest.roots)), np.zeros(len(forest.roots))
    own = np.flatnonzero((forest.parent >= 0) & (forest.tail == 0))
    own = own[np.argsort(forest.parent[own], kind="stable")]
    for apart in range(1, len(own)):  # siblings stand side by side, so this ends at the largest family
        i, j = own[:-apart], own[apart:]
        kin = forest.parent[i] == forest.parent[j]
        if not kin.any():
            break
        wanted, found = (np.sign(each[i] - each[j])[kin] for each in (targets, predicted))
        counted = wanted != 0
        np.add.at(right, tree[i][kin][counted], (1 + wanted * found)[counted] / 2)
        np.add.at(pairs, tree[i][kin][counted], 1)
    return right, pairs


def _error(right: Array, pairs: Array) -> float:
    """Standard error of sum(right) / sum(pairs), a ratio over trees."""
    counted = int(np.sum(pairs > 0))
    if counted < 2:
        return float("nan")
    off = right - pairs * (right.sum() / pairs.sum())
    return float(np.sqrt(np.sum(off**2) * counted / (counted - 1)) / pairs.sum())
