"""KL divergence of a tilted step from the policy, in nats, exact and in its two parts.

Over the full vocabulary KL(p || ref) = steering + truncation, where steering is KL(p || ref renormalised over
the candidates) and truncation is -log ref(candidates). The papers' code uses the one-sample estimate
log p(a) / ref(a): unbiased and far noisier, kept for comparison.
"""

from __future__ import annotations

import torch
from torch import Tensor


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


def kl_parts(reference: Tensor, logprobs: Tensor, full: bool = False) -> tuple[Tensor, Tensor]:
    """What both parts are made of: (sum p (log p - log ref), ref(C)), (G,) each.

    Steering is the first plus the second's logarithm, truncation minus that logarithm; few enough kernels for every
    step, the rest is arithmetic on two numbers.

    reference (G, K) log-probabilities over the full vocabulary, logprobs (G, K) log p; -inf where not valid, which
    ``full`` rules out.
    """
    ratio = logprobs - reference
    if not full:
        # Where an entry is not valid both are -inf: p = 0 leaves it out of the sum.
        ratio = torch.where(logprobs > -torch.inf, ratio, 0.0)
    return torch.linalg.vecdot(logprobs.exp(), ratio), reference.exp().sum(dim=1)


def truncation_kl(reference: Tensor) -> Tensor:
    """-log ref(C), nats: reference (G, K) log-probabilities over the full vocabulary -> (G,), at least 0."""
    return (-reference.logsumexp(dim=1)).clamp_min(0.0)


def sampled_kl(logprob: Tensor, reference: Tensor) -> Tensor:
    """log p(a) - log ref(a) of the sampled token: the one-sample estimate of steering + truncation. (G,) each."""
    return logprob - reference
