"""A token MDP solved exactly: policies as tables, their values, reward and KL, the soft optimum.

Texts end with token 0 or at the horizon; the first token is no end (as in guided decoding). States are open texts,
level by level: state s of level t has child V-token a as state (V - 1) s + a - 1 of level t + 1. A *table* is a list of
arrays (n_t, V, ...), one per level: something of every s + a. All is double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Table = list[Array]


@dataclass(frozen=True)
class Mdp:
    """Attributes:
    ref: (n_t, V) log-probabilities of the base policy.
    rewards: (n_t, V, M) of texts that are finished by a; 0 elsewhere.
    """

    ref: Table
    rewards: Table

    @classmethod
    def of(cls, logits: Sequence[Array], reward: Callable[[tuple[int, ...]], Sequence[float]]) -> Mdp:
        """From logits (n_t, V) of every level, and the reward of finished texts without their end."""
        ref, rewards = [], []
        for level, (scores, texts) in enumerate(zip(logits, states(len(logits), logits[0].shape[1]), strict=True)):
            own = np.array(scores, dtype=np.float64)
            if level == 0:
                own[:, 0] = -np.inf
            ref.append(own - _logsumexp(own))
            last = level == len(logits) - 1
            rows = [
                [
                    reward(text) if a == 0 else reward((*text, a)) if last else [0.0] * len(reward(text))
                    for a in range(own.shape[1])
                ]
                for text in texts
            ]
            rewards.append(np.array(rows))
        return cls(ref, rewards)

    @property
    def objectives(self) -> int:
        return int(self.rewards[0].shape[2])

    def tilted(self, scores: Table) -> Table:
        """p(a | s) ~ ref(a | s) exp(scores(s + a)), as log-probabilities."""
        return [(z := ref + own) - _logsumexp(z) for ref, own in zip(self.ref, scores, strict=True)]

    def evaluate(self, policy: Table) -> tuple[Table, Table]:
        """(Q: expected rewards from s + a on, (n_t, V, M); W: KL still to come, (n_t, V)) of a policy."""
        values, future_kls = [own.copy() for own in self.rewards], [np.zeros_like(own) for own in self.ref]
        for level in range(len(self.ref) - 1, 0, -1):
            p, kl = self._step(policy, level)
            below = np.einsum("sa,sam->sm", p, values[level])
            values[level - 1][:, 1:] = below.reshape(*values[level - 1][:, 1:].shape)
            future_kls[level - 1][:, 1:] = (kl + (p * future_kls[level]).sum(1)).reshape(
                future_kls[level - 1][:, 1:].shape
            )
        return values, future_kls

    def moments(self, tilt_weights: Sequence[float]) -> tuple[Table, Table]:
        """(mean, variance) of w . R of what the base policy makes of s + a, (n_t, V) each."""
        found = []
        for power in (1, 2):
            values = [(own @ np.asarray(tilt_weights)) ** power for own in self.rewards]
            for level in range(len(self.ref) - 1, 0, -1):
                below = (np.exp(self.ref[level]) * values[level]).sum(1)
                values[level - 1][:, 1:] = below.reshape(values[level - 1][:, 1:].shape)
            found.append(values)
        mean, square = found
        return mean, [np.maximum(s - m * m, 0.0) for m, s in zip(mean, square, strict=True)]

    def outcome(self, policy: Table) -> tuple[Array, float]:
        """(mean rewards (M,), KL to the base policy in nats) of whole texts."""
        values, future_kls = self.evaluate(policy)
        p, kl = self._step(policy, 0)
        return np.asarray(p[0] @ values[0][0]), float(kl[0] + p[0] @ future_kls[0][0])

    def soft_optimum(self, tilt_weights: Sequence[float]) -> Table:
        """log E_ref[exp(w . R) | s + a], nats: tilting by it maximises E[w . R] - KL."""
        found = [own @ np.asarray(tilt_weights) for own in self.rewards]
        for level in range(len(self.ref) - 1, 0, -1):
            below = _logsumexp(self.ref[level] + found[level])
            found[level - 1][:, 1:] = below.reshape(found[level - 1][:, 1:].shape)
        return found

    def _step(self, policy: Table, level: int) -> tuple[Array, Array]:
        """(probabilities (n, V), KL of the step (n,))."""
        p = np.exp(policy[level])
        with np.errstate(invalid="ignore"):
            return p, np.where(p > 0, p * (policy[level] - self.ref[level]), 0.0).sum(1)


def states(horizon: int, vocab: int) -> list[list[tuple[int, ...]]]:
    """Open texts by level, in the order of tables."""
    found: list[list[tuple[int, ...]]] = [[()]]
    for _ in range(horizon - 1):
        found.append([(*text, a) for text in found[-1] for a in range(1, vocab)])
    return found


def combined(tilt_weights: Sequence[float], values: Table, future_kls: Table | None = None) -> Table:
    """w . V - W."""
    found = [own @ np.asarray(tilt_weights) for own in values]
    return found if future_kls is None else [own - w for own, w in zip(found, future_kls, strict=True)]


def spend(mdp: Mdp, policy_at: Callable[[float], Table], nats: float, most: float) -> tuple[float, Table]:
    """The strength within (0, most] whose policy spends ``nats``, and the policy.

    Raises:
        ValueError: none does.
    """
    low, high = 1e-3, most
    if mdp.outcome(policy_at(high))[1] < nats:
        raise ValueError(f"strength {most:g} spends less than {nats:g} nats")
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if mdp.outcome(policy_at(middle))[1] < nats else (low, middle)
    return high, policy_at(high)


def share(mdp: Mdp, policy: Table, weights: Sequence[float]) -> tuple[float, float]:
    """(gain of weighted reward as a share of the optimum's at the same KL, that KL)."""
    earned, nats = mdp.outcome(policy)
    start = mdp.outcome(mdp.ref)[0]
    best = mdp.outcome(spend(mdp, lambda s: mdp.tilted(mdp.soft_optimum([s * w for w in weights])), nats, 256.0)[1])[0]
    lam = np.asarray(weights)
    return float(lam @ (earned - start) / (lam @ (best - start))), nats


def _logsumexp(x: Array) -> Array:
    top = x.max(axis=1, keepdims=True)
    return np.asarray(top + np.log(np.exp(x - top).sum(axis=1, keepdims=True)))
