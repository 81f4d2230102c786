"""Interpolation, fronts, hypervolume and regret on cases worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from value_models.evaluation.matched import at_budget, falls, front, hypervolume, weighted_reward


def test_rewards_are_linear_in_the_root_of_kl() -> None:
    """1 -> 9 nats is 1 -> 3 in the root; 4 nats stands in the middle."""
    kl, rewards = np.array([1.0, 9.0]), np.array([[10.0, -2.0], [20.0, -4.0]])
    base = np.array([0.0, 0.0])
    assert at_budget(kl, rewards, base, 4.0).tolist() == [15.0, -3.0]
    assert at_budget(kl, rewards, base, 1.0).tolist() == [10.0, -2.0]
    assert at_budget(kl, rewards, base, 0.25).tolist() == [5.0, -1.0]  # between the base and the first point
    assert at_budget(kl, rewards, base, 9.0).tolist() == [20.0, -4.0]


def test_points_may_come_in_any_order_and_the_last_piece_is_followed_on() -> None:
    kl, rewards = np.array([9.0, 1.0]), np.array([[20.0], [10.0]])
    assert at_budget(kl, rewards, np.zeros(1), 4.0).tolist() == [15.0]
    assert at_budget(kl, rewards, np.zeros(1), 16.0).tolist() == [25.0]


def test_resamples_are_interpolated_each_on_its_own() -> None:
    kl = np.array([[1.0, 9.0], [4.0, 16.0]])
    rewards = np.array([[[10.0], [20.0]], [[6.0], [8.0]]])
    assert at_budget(kl, rewards, np.zeros((2, 1)), 4.0).tolist() == [[15.0], [6.0]]


def test_an_arm_that_spends_nothing_is_no_division_by_zero() -> None:
    assert at_budget(np.zeros(2), np.array([[1.0], [1.0]]), np.ones(1), 2.0).tolist() == [1.0]


def test_the_front_has_what_no_other_beats() -> None:
    points = np.array([[0.0, 3.0], [1.0, 2.0], [1.0, 1.0], [2.0, 0.0], [0.5, 2.0]])
    assert front(points).tolist() == [True, True, False, True, False]
    assert front(np.array([[1.0, 1.0], [1.0, 1.0]])).tolist() == [True, True]


def test_hypervolume_of_a_staircase() -> None:
    """Above (0, 0): 1x3 + (2-1)x2 + (4-2)x1 = 7; the dominated point and the one below the reference add nothing."""
    points = np.array([[1.0, 3.0], [2.0, 2.0], [4.0, 1.0], [1.5, 1.5], [-5.0, 9.0]])
    assert hypervolume(points, np.zeros(2)) == 7.0
    assert hypervolume(points, np.array([-1.0, -1.0])) == 2 * 4 + 1 * 3 + 2 * 2
    assert hypervolume(points, np.array([10.0, 10.0])) == 0.0


def test_hypervolume_does_not_depend_on_order_and_takes_resamples() -> None:
    points = np.random.default_rng(0).normal(size=(5, 7, 2))
    found = hypervolume(points, np.array([-1.0, -1.0]))
    assert found.shape == (5,)
    for each, expected in zip(points, found, strict=True):
        grid = np.sort(np.concatenate((each[:, 0], [-1.0])).clip(-1))
        strips = [
            (right - left) * max([0.0, *(y + 1 for x, y in each if x >= right)]) for left, right in pairwise(grid)
        ]
        assert expected == pytest.approx(sum(strips))
        assert hypervolume(each[::-1], np.array([-1.0, -1.0])) == pytest.approx(expected)


def test_one_axis_is_the_best_point() -> None:
    assert hypervolume(np.array([[1.0], [3.0]]), np.array([-1.0])) == 4.0


def test_weighted_reward_and_falls() -> None:
    points, weights = np.array([[0.0, 4.0], [2.0, 2.0]]), np.array([[0.25, 0.75], [1.0, 0.0]])
    assert weighted_reward(points, weights) == pytest.approx((3.0 + 2.0) / 2)
    assert falls(np.array([0.0, 2.0, 1.5, 1.5])).tolist() == [0.0, 0.5, 0.0]
