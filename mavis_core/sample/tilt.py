"""The tilt: p(a) proportional to exp(ell_a / T + beta * sum_m lambda_m V_m(s + a)) over the candidates.

Pure tensor functions. MAVIS (arXiv 2508.13415) v3 applies the combined value unscaled; v1 and v2 min-max normalise it
over the candidates of the step first, which ``minmax`` does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mavis_core.sample.candidates import highest, lowest
from mavis_core.sample.kl import steering_kl

BISECTIONS = 24


def combine(values: Tensor, weights: Tensor) -> Tensor:
    """sum_m lambda_m V_m: values (G, K, M), weights (G, M) -> (G, K), float32."""
    return torch.bmm(values, weights.unsqueeze(2)).squeeze(2)


def minmax(combined: Tensor, valid: Tensor | None) -> Tensor:
    """Scale each row's valid entries to 0..1; all equal gives 0. (G, K) float32, (G, K) bool or None -> (G, K)."""
    low = lowest(combined, valid)[:, None]
    high = highest(combined, valid)[:, None]
    span = high - low
    scaled = (combined - low) / torch.where(span > 0, span, torch.ones_like(span))
    return torch.where(span > 0, scaled, torch.zeros_like(scaled))


def tilted_logprobs(logits: Tensor, tilt: Tensor) -> Tensor:
    """log p over the candidates: logits (G, K), ell / T with -inf where not valid; tilt (G, K) in nats."""
    return (logits + tilt).log_softmax(dim=1)


def limit_tilt(logits: Tensor, tilt: Tensor, limit: Tensor) -> Tensor:
    """Scale each row's tilt by the largest gamma in [0, 1] whose steering KL is at most ``limit``.

    Steering KL grows monotonically in gamma (its derivative is gamma times the variance of the tilt under the
    tilted distribution), so bisection finds the gamma; 24 halvings on K numbers for all rows at once, no host
    sync. The lower end is returned, so the limit is met, and the tilt is never raised.

    Args:
        logits: (G, K) float32, -inf where not valid.
        tilt: (G, K) float32, nats.
        limit: (G,) float32, nats per token; inf is no limit.

    Returns:
        (G, K) the scaled tilt.
    """
    low = torch.zeros_like(limit)
    high = torch.ones_like(limit)
    meets = steering_kl(logits, tilted_logprobs(logits, tilt)) <= limit
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = steering_kl(logits, tilted_logprobs(logits, tilt * middle[:, None])) <= limit
        low = torch.where(below, middle, low)
        high = torch.where(below, high, middle)
    gamma = torch.where(meets, torch.ones_like(low), low)
    return tilt * gamma[:, None]
