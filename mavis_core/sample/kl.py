"""KL divergence of a tilted step from the policy, in nats, exact and in its two parts.

Over the full vocabulary KL(p || ref) = steering + truncation, where steering is KL(p || ref renormalised over
the candidates) and truncation is -log ref(candidates). The papers' code uses the one-sample estimate
log p(a) / ref(a): unbiased and far noisier, kept for comparison. ``DrawStats`` is the one record of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import sub

import torch
from torch import Tensor

from mavis_core.sample.candidates import highest, lowest

TINY = 1e-38


def steering_kl(reference: Tensor, logprobs: Tensor) -> Tensor:
    """KL(p || ref renormalised over the candidates), nats.

    Args:
        reference: (G, K) float32 log ref up to a constant per row; -inf where not valid.
        logprobs: (G, K) float32 log p; -inf where not valid.

    Returns:
        (G,) float32, at least 0.
    """
    ratio = logprobs - reference.log_softmax(dim=1)
    ratio = torch.where(logprobs > -torch.inf, ratio, torch.zeros_like(ratio))
    return (logprobs.exp() * ratio).sum(dim=1).clamp_min(0.0)


@dataclass(frozen=True, slots=True)
class DrawStats:
    """What one guided row drew and what its distribution cost, on the host: the numbers that are served.

    Attributes:
        steering, truncation: KL(p || ref) of the step over the full vocabulary in its two parts, nats, at least 0.
        logprob, base_logprob: log p and log ref of the drawn token, nats; -inf of a given one that could not be drawn.
        values: V of the drawn token by column of objectives, z-units; 0 where the row does not name one.
        spreads: max - min of V over the candidates, likewise.
    """

    steering: float
    truncation: float
    logprob: float
    base_logprob: float
    values: list[float]
    spreads: list[float]

    @property
    def sampled(self) -> float:
        """log p(a) - log ref(a), the papers' one-sample estimate of steering + truncation, nats; 0 if p(a) is."""
        return self.logprob - self.base_logprob if self.logprob > -math.inf else 0.0

    @property
    def base_mass(self) -> float:
        """ref(candidates), 0 to 1."""
        return math.exp(-self.truncation)


FIXED = 4  # numbers of a measured draw that come before the values
LOGPROBS = slice(2, FIXED)  # of which these are log p and log ref


def measure_draws(reference: Tensor, logprobs: Tensor, values: Tensor, valid: Tensor | None, chosen: Tensor) -> Tensor:
    """The numbers that ``DrawStats`` are made of, few enough kernels for every step; ``read_draw`` does the rest.

    Args:
        reference: (G, K) float32 log ref over the full vocabulary; -inf where not valid.
        logprobs: (G, K) float32 log p; -inf where not valid.
        values: (G, K, M) float32.
        valid: (G, K) bool; None where every candidate is.
        chosen: (G,) int64, the drawn candidate.

    Returns:
        (G, 4 + 3 M) float32: sum of p (log p - log ref), ref(candidates), log p, log ref, then of V the drawn
        candidate's, the lowest, the highest. A number that is not finite, wherever it was, makes one here that is not.
    """
    ratio = logprobs - reference
    if valid is None:
        low, high = values.aminmax(dim=1)
    else:
        # Where an entry is not valid both are -inf: p = 0 leaves it out of the sum.
        ratio = torch.where(logprobs > -torch.inf, ratio, 0.0)
        low, high = lowest(values, valid[:, :, None]), highest(values, valid[:, :, None])
    every = torch.cat((logprobs[:, :, None], reference[:, :, None], values), dim=2)
    picked = every.gather(1, chosen[:, None, None].expand(-1, 1, every.shape[2]))[:, 0]
    parts = (torch.linalg.vecdot(logprobs.exp(), ratio)[:, None], reference.exp().sum(dim=1, keepdim=True))
    return torch.cat((*parts, picked, low, high), dim=1)


def read_draw(measured: Sequence[float]) -> DrawStats | None:
    """One row of ``measure_draws`` (4 + 3 M) on the host; None where it is not made of finite numbers."""
    if not all(map(math.isfinite, measured)):
        return None
    total, mass, logprob, base_logprob = measured[:FIXED]
    log_mass = math.log(max(mass, TINY))
    count = (len(measured) - FIXED) // 3
    chosen, low, high = (measured[FIXED + i * count : FIXED + (i + 1) * count] for i in range(3))
    return DrawStats(
        max(0.0, total + log_mass), max(0.0, -log_mass), logprob, base_logprob, list(chosen), list(map(sub, high, low))
    )
