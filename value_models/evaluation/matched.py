"""Arms at equal KL: rewards interpolated along each arm's curve, then fronts, hypervolume and regret.

Pure functions of means; leading dimensions ``...`` are bootstrap resamples. Arms end at whatever KL their strength
happens to cost, so comparing them there would compare strengths. A tilt gains reward as beta and pays KL as its
square near zero: rewards are about linear in the square root of KL, and are interpolated in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def at_budget(kl: Array, rewards: Array, base: Array, budget: float) -> Array:
    """Rewards where a curve has spent ``budget``, linear in sqrt(KL) between the two points around it.

    The curve begins with the base model, at 0 nats. Beyond its last point the last piece is followed on: bootstrap
    resamples need that where the sample itself reaches the budget; whether it does is for the caller to ask.

    Args:
        kl: (..., S) steering KL per response of a curve's S points, nats, in any order.
        rewards: (..., S, M).
        base: (..., M).
        budget: nats per response.

    Returns:
        (..., M).
    """
    order = np.argsort(kl, axis=-1)
    x = np.sqrt(np.maximum(np.take_along_axis(kl, order, -1), 0.0))
    x = np.concatenate((np.zeros_like(x[..., :1]), x), axis=-1)
    y = np.concatenate((base[..., None, :], np.take_along_axis(rewards, order[..., None], -2)), axis=-2)
    right = np.clip((x < np.sqrt(budget)).sum(axis=-1, keepdims=True), 1, x.shape[-1] - 1)
    x0, x1 = np.take_along_axis(x, right - 1, -1), np.take_along_axis(x, right, -1)
    y0, y1 = (np.take_along_axis(y, at[..., None], -2)[..., 0, :] for at in (right - 1, right))
    step = np.where(x1 > x0, (np.sqrt(budget) - x0) / np.where(x1 > x0, x1 - x0, 1.0), 1.0)
    return np.asarray(y0 + step * (y1 - y0))


def front(points: Array) -> NDArray[np.bool_]:
    """Which of the points (N, D) no other beats in every axis at once; of equal points all stay."""
    others, own = points[None], points[:, None]
    better: NDArray[np.bool_] = np.all(others >= own, axis=-1) & np.any(others > own, axis=-1)
    return np.asarray(~np.any(better, axis=1))


def hypervolume(points: Array, reference: Array) -> Array:
    """Size of what the points dominate above the reference point: (..., N, D), (D,) -> (...), D = 1 or 2.

    For D = 2 the area under a staircase: with the points sorted from the right, each adds the strip between the
    highest so far and itself.
    """
    gained = np.maximum(points - reference, 0.0)
    if gained.shape[-1] == 1:
        return np.asarray(gained[..., 0].max(axis=-1))
    assert gained.shape[-1] == 2
    order = np.argsort(-gained[..., 0], axis=-1)
    x, y = (np.take_along_axis(gained[..., d], order, -1) for d in range(2))
    highest = np.maximum.accumulate(y, axis=-1)
    before = np.concatenate((np.zeros_like(highest[..., :1]), highest[..., :-1]), axis=-1)
    return np.asarray((x * (highest - before)).sum(axis=-1))


def weighted_reward(points: Array, weights: Array) -> Array:
    """Mean over shares of sum_m lambda_m R_m: points (..., S, D) at weights (S, D) -> (...)."""
    return np.asarray((points * weights).sum(-1).mean(-1))


def falls(rewards: Array) -> Array:
    """By how much an axis falls from each share to the next larger one, 0 where it rises: (..., S) -> (..., S - 1)."""
    return np.asarray(np.maximum(rewards[..., :-1] - rewards[..., 1:], 0.0))
