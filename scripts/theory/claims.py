"""What each way of making values is worth at matched KL: exactly, from the MDP's own tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from scripts.theory.mdp import Mdp, Table, combined, share, spend
from value_models.kinds.moments import FARTHEST, open_outcome

PolicyAt = Callable[[float], Table]
"""strength -> policy: weights are the strength times fixed shares."""
NATS = (0.5, 1.0, 2.0, 3.0)
EQUAL = (0.5, 0.5)
MOST = 256.0


def iterations(mdp: Mdp, tilt_weights: Sequence[float], rounds: int, path: bool = False) -> tuple[list[float], float]:
    """E[w . R] - KL of the policies of all rounds, and of the soft optimum.

    pi_{j+1} ~ ref exp(w . Q^{pi_j} - price),    price: the KL still to come (``future``), or also what led to the text
    """

    def worth(policy: Table) -> float:
        earned, nats = mdp.outcome(policy)
        return float(earned @ np.asarray(tilt_weights)) - nats

    found, scores = [], combined(tilt_weights, mdp.evaluate(mdp.ref)[0])
    for _ in range(rounds):
        policy = mdp.tilted(scores)
        found.append(worth(policy))
        scores = combined(tilt_weights, *mdp.evaluate(policy))
        if path:
            scores = [own - spent for own, spent in zip(scores, paid(mdp, policy), strict=True)]
    return found, worth(mdp.tilted(mdp.soft_optimum(tilt_weights)))


def paid(mdp: Mdp, policy: Table) -> Table:
    """log p / ref of the whole text s + a, nats."""
    found: Table = []
    for level, (own, ref) in enumerate(zip(policy, mdp.ref, strict=True)):
        with np.errstate(invalid="ignore"):
            ratio = np.where(np.isfinite(ref), own - ref, 0.0)
        above = found[level - 1][:, 1:].reshape(-1, 1) if level else 0.0
        found.append(ratio + above)
    return found


def joint(mdp: Mdp, shares: Sequence[float], rounds: int) -> PolicyAt:
    """Values conditioned on w after so many rounds; none are the base model's own."""

    def at(strength: float) -> Table:
        tilt_weights = [strength * each for each in shares]
        values, future_kls = mdp.evaluate(mdp.ref)
        for _ in range(rounds):
            values, future_kls = mdp.evaluate(mdp.tilted(combined(tilt_weights, values, future_kls)))
        return mdp.tilted(combined(tilt_weights, values, future_kls))

    return at


def independent(mdp: Mdp, shares: Sequence[float]) -> PolicyAt:
    """Each objective's own converged values at the strength asked for, mixed by the shares (which add up to 1).

    Equal to token-level MOD with perfect experts: log p = sum_m lambda_m log pi*_m.
    """

    def at(strength: float) -> Table:
        experts = [mdp.soft_optimum(row.tolist()) for row in np.eye(mdp.objectives) * strength]
        return mdp.tilted([np.tensordot(shares, level, 1) for level in zip(*experts, strict=True)])

    return at


def moments(mdp: Mdp, shares: Sequence[float]) -> PolicyAt:
    """The base model's own mean and covariance of the rewards: what kind ``moments`` says if it has learned all."""
    return tilted_by_moments(mdp, *mdp.moments(shares))


def tilted_by_moments(mdp: Mdp, mean: Table, variance: Table, farthest: float = FARTHEST) -> PolicyAt:
    """As kind ``moments`` tilts, by mean and variance of the weighted reward at strength 1."""

    def at(strength: float) -> Table:
        open_to = [open_outcome(torch.from_numpy(strength**2 * own), farthest).numpy() for own in variance]
        return mdp.tilted([strength * own + more for own, more in zip(mean, open_to, strict=True)])

    return at


def shares_of_optimum(mdp: Mdp, policy_at: PolicyAt, shares: Sequence[float], most: float = MOST) -> list[float | None]:
    """Gain of weighted reward over the base policy, as a share of the optimum's, at each of ``NATS``.

    Args:
        most: strength that may be asked for; None stands where it spends less.
    """
    found: list[float | None] = []
    for nats in NATS:
        try:
            found.append(share(mdp, spend(mdp, policy_at, nats, most)[1], shares)[0])
        except ValueError:
            found.append(None)
    return found
