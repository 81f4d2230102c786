"""Targets on trees small enough to do by hand, and in the mean over an MDP's trees, where the truth is known."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from tests.mavis_core.test_exactness import END, HORIZON, ended, reference
from tests.value_models.training.forests import forest, mdp_forest
from value_models.rollouts.forest import LENGTH, OPEN, STOP, Forest
from value_models.rollouts.shape import Shape
from value_models.training.targets import (
    examples,
    future_kl,
    future_targets,
    path_targets,
    sample_shares,
    token_kl,
    token_targets,
)

#  0 prompt - 1 - 2 (leaf), 3 (leaf);  4 - 5 (tail), 6 (leaf), 7 (leaf);  8 (leaf)
ROWS = [
    (-1, 2, OPEN, 0),
    (0, 2, OPEN, 0),
    (1, 1, STOP, 0),
    (1, 3, LENGTH, 0),
    (0, 1, OPEN, 0),
    (4, 2, STOP, 1),
    (4, 1, STOP, 0),
    (4, 1, LENGTH, 0),
    (0, 1, STOP, 0),
]
KL = [[0.0, 0.0], [0.5, 1.0], [0.25], [1.0, 2.0, 4.0], [3.0], [8.0, 8.0], [0.5], [1.5], [2.0]]
REWARDS = np.array([[1.0, 0.0], [3.0, 10.0], [100.0, 0.0], [5.0, 2.0], [6.0, 4.0], [9.0, 6.0]])


def test_node_means_by_hand() -> None:
    found = future_targets(forest(ROWS), REWARDS)
    assert found[:, 0].tolist() == pytest.approx([(2 + 100 + 9) / 3, 2, 1, 3, 5.5, 100, 5, 6, 9])
    assert found[1].tolist() == [2.0, 5.0]


def test_truncation_has_no_price() -> None:
    """Every token costs 0.5 nats more against the full softmax than against the candidates: ``path`` alone counts."""
    tree = forest(ROWS, KL)
    cut = dataclasses.replace(tree, base_logprobs=np.full(len(tree.tokens), -0.5, dtype=np.float32))
    assert future_targets(cut, REWARDS, 0.1).tolist() == future_targets(tree, REWARDS, 0.1).tolist()
    assert token_targets(cut, REWARDS, 0.1).tolist() == token_targets(tree, REWARDS, 0.1).tolist()
    assert (path_targets(cut, REWARDS, 0.1) < path_targets(tree, REWARDS, 0.1)).any()


def test_the_future_penalty_by_hand() -> None:
    tree = forest(ROWS, KL)
    found = future_targets(tree, REWARDS[:, :1], 0.1)[:, 0]
    first, second = ((1 - 0.025) + (3 - 0.7)) / 2, ((5 - 0.05) + (6 - 0.15)) / 2
    root = ((first - 0.15) + (100 - 1.6 - 0.3) + (9 - 0.2)) / 3
    assert found.tolist() == pytest.approx([root, first, 1, 3, second, 100, 5, 6, 9])


def test_the_path_variant_adds_what_is_paid_already() -> None:
    tree = forest(ROWS, KL)
    difference = future_targets(tree, REWARDS, 0.1) - path_targets(tree, REWARDS, 0.1)
    assert difference[:, 1].tolist() == pytest.approx([0, 0.15, 0.175, 0.85, 0.3, 1.9, 0.35, 0.45, 0.2])


def test_tokens_inside_a_segment_pay_what_follows_them() -> None:
    tree = forest(ROWS, KL)
    found = token_targets(tree, REWARDS[:, :1], 0.1)[:, 0]
    at = int(tree.start[3])
    assert found[at : at + 3].tolist() == pytest.approx([3 - 0.6, 3 - 0.4, 3])
    ends, uncut = tree.start + tree.length - 1, [0, 1, 2, 3, 5, 6, 7, 8]
    assert found[ends][uncut] == pytest.approx(future_targets(tree, REWARDS[:, :1], 0.1)[uncut, 0])
    path = token_targets(tree, REWARDS[:, :1], 0.1, "path")[:, 0]
    assert set(path[at : at + 3]) == {path_targets(tree, REWARDS[:, :1], 0.1)[3, 0]}
    assert token_kl(tree)[at : at + 3].tolist() == [1, 2, 4]


def test_a_cut_response_goes_on_as_it_was_drawn_and_its_end_is_two_examples() -> None:
    rows = [(-1, 1, OPEN, 0), (0, 3, OPEN, 0), (1, 2, STOP, 1), (1, 1, STOP, 0), (1, 1, STOP, 0)]
    tree = forest(rows, [[0.0], [1.0, 2.0, 4.0], [8.0, 16.0], [0.0], [0.0]])
    scores = np.array([[100.0], [5.0], [6.0]])
    assert token_targets(tree, scores)[1:, 0].tolist() == [100, 100, 100, 100, 100, 5, 6]
    found = token_targets(tree, scores, 1.0)[1:6, 0]
    assert found.tolist() == pytest.approx([100 - 30, 100 - 28, 100 - 24, 100 - 16, 100])
    path = token_targets(tree, scores, 1.0, "path")[1:6, 0]
    assert path.tolist() == pytest.approx([100 - 31] * 5)
    at, targets = examples(tree, scores, True)
    assert (at.tolist(), targets[:, 0].tolist()) == ([*range(1, 8), 3], [100, 100, 100, 100, 100, 5, 6, 5.5])
    at, targets = examples(tree, scores, False)
    assert (at.tolist(), targets[:, 0].tolist()) == ([3, 5, 6, 7], [5.5, 100, 5, 6])


def test_a_cut_response_is_a_sample_as_it_was() -> None:
    assert sample_shares(forest(ROWS)).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 3, 0, 0, 1 / 3])


def test_trees_of_a_forest_are_independent() -> None:
    two = Forest.concatenate([forest(ROWS, KL), forest(ROWS, KL)])
    once = future_targets(forest(ROWS, KL), REWARDS, 0.1)
    assert np.array_equal(future_targets(two, np.concatenate((REWARDS, -REWARDS)), 0.1)[: len(ROWS)], once)
    assert sample_shares(two).sum() == pytest.approx(2)


@cache
def expected(text: tuple[int, ...] = ()) -> float:
    """E[length of the text | its beginning] under the base policy."""
    if ended(text):
        return len(text)
    return sum(float(np.exp(p)) * expected((*text, token)) for token, p in enumerate(reference(text)))


def lengths(trees: Forest) -> np.ndarray:
    """The length as the reward: what a wrong share of early and late leaves gets most wrong."""
    return np.array([[float(len(trees.response(leaf)))] for leaf in trees.leaves.tolist()])


def deviations(trees: Forest, values: np.ndarray, roots: bool) -> np.ndarray:
    """(mean of a value - truth) / standard error, over the open nodes of each text with enough of them."""
    by_text: dict[tuple[int, ...], list[int]] = {}
    for node in np.flatnonzero((trees.layer >= -int(roots)) & (trees.finish == OPEN)).tolist():
        by_text.setdefault(tuple(trees.response(node)), []).append(node)
    found = [(values[nodes], expected(text)) for text, nodes in by_text.items() if len(nodes) >= 40]
    assert len(found) > 10
    return np.array([(own.mean() - truth) / (own.std() / len(own) ** 0.5) for own, truth in found if own.std() > 0])


@pytest.mark.parametrize("split_layers", [0, 1, 2])
def test_targets_are_unbiased(split_layers: int) -> None:
    """Of every node and of prompts, although cutting draws children from something else."""
    trees = mdp_forest(700, Shape(layers=3, split_layers=split_layers, max_tokens=HORIZON))
    found = deviations(trees, future_targets(trees, lengths(trees))[:, 0], roots=True)
    assert np.abs(found).max() < 4
    assert np.square(found).mean() < 2


def test_targets_inside_segments_are_unbiased() -> None:
    """Over all tokens of first-layer responses as they were drawn, their tails included."""
    trees = mdp_forest(700, Shape(layers=2, max_tokens=HORIZON))
    by_text: dict[tuple[int, ...], list[int]] = {}
    for node in np.flatnonzero((trees.layer == 0) | (trees.tail == 1)).tolist():
        text, start = trees.response(node), int(trees.start[node])
        before = len(text) - int(trees.length[node])
        for i in range(before, len(text)):
            by_text.setdefault(tuple(text[: i + 1]), []).append(start + i - before)
    values = token_targets(trees, lengths(trees))[:, 0]
    cut = trees.parent[trees.tail == 1]
    replaced = values.copy()
    replaced[(trees.start + trees.length - 1)[cut]] = future_targets(trees, lengths(trees))[cut, 0]

    def worst(values: np.ndarray) -> float:
        found = [(values[at], expected(text)) for text, at in by_text.items() if len(at) >= 60 and text[-1] != END]
        assert len(found) > 5
        return float(max(abs((own.mean() - truth) / (own.std() / len(own) ** 0.5)) for own, truth in found))

    assert worst(values) < 4
    assert worst(replaced) > 6, "fresh outcomes in place of those that were drawn would be biased"


def test_a_plain_mean_over_leaves_would_be_biased() -> None:
    trees = mdp_forest(700, Shape(layers=3, split_layers=0, max_tokens=HORIZON))
    plain, count = np.zeros(len(trees)), np.zeros(len(trees))
    for leaf, score in zip(trees.leaves.tolist(), lengths(trees)[:, 0].tolist(), strict=True):
        for node in [*trees.path(leaf), int(trees.roots[trees.roots <= leaf][-1])]:
            plain[node] += score
            count[node] += 1
    assert np.abs(deviations(trees, plain / count, roots=True)).max() > 8


def test_shares_measure_the_base_models_own_mean() -> None:
    trees = mdp_forest(700, Shape(layers=3, max_tokens=HORIZON))
    scores, tree = lengths(trees)[:, 0], trees.prompt[trees.leaves]
    found = np.bincount(tree, sample_shares(trees) * scores)
    error = found.std() / len(found) ** 0.5
    assert abs(found.mean() - expected()) < 4 * error
    naive = np.bincount(tree, scores) / np.bincount(tree)
    assert abs(naive.mean() - expected()) > 8 * error, "the test can tell the difference"


def test_the_kl_to_go_counts_what_is_paid_after_each_token() -> None:
    """A prompt; below it a node of 2 tokens (1 and 2 nats) with leaves of 1 token (4) and of 2 (8 and 16)."""
    tree = forest([(-1, 1, 0, 0), (0, 2, 0, 0), (1, 1, 1, 0), (1, 2, 1, 0)])
    tree = dataclasses.replace(tree, steering=np.array([0, 1, 2, 4, 8, 16], dtype=np.float32))
    assert future_kl(tree)[:, 0].tolist() == [3 + 14, (4 + 24) / 2, 0, 0]
    at, found = examples(tree, np.array([[5.0], [7.0]]), True, with_kl_to_go=True)
    assert at.tolist() == [1, 2, 3, 4, 5]
    assert found.tolist() == [[6, 2 + 14], [6, 14], [5, 0], [7, 16], [7, 0]]
    ends, found = examples(tree, np.array([[5.0], [7.0]]), False, with_kl_to_go=True)
    assert ends.tolist() == [2, 3, 5] and found.tolist() == [[6, 14], [5, 0], [7, 0]]


def test_what_was_cut_goes_on_into_its_tail_for_the_kl_too() -> None:
    tree = forest([(-1, 1, 0, 0), (0, 1, 0, 0), (1, 2, 1, 1), (1, 1, 1, 0)])
    tree = dataclasses.replace(tree, steering=np.array([0, 1, 2, 4, 8], dtype=np.float32))
    at, found = examples(tree, np.array([[5.0], [7.0]]), True, with_kl_to_go=True)
    assert at.tolist() == [1, 2, 3, 4, 1]
    assert found.tolist() == [[5, 6], [5, 4], [5, 0], [7, 0], [7, 8]]
