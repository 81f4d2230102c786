"""top_k, top_p and min_p over the full vocabulary, in vLLM's order: min_p, then top_k, then top_p."""

from __future__ import annotations

import torch
from torch import Tensor


def apply_filters(scaled: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor) -> Tensor:
    """Return ``scaled`` with -inf at the tokens that the filters remove.

    Each filter keeps a prefix of the tokens sorted by probability; top_p counts the mass renormalised after
    the earlier filters, and the token that crosses it is kept. The most likely token always survives.

    Args:
        scaled: (B, V) float32, ell / T.
        top_k: (B,) int64, V or more is off.
        top_p: (B,) float32 in (0, 1], 1 is off.
        min_p: (B,) float32 in [0, 1], 0 is off.
    """
    ordered, ids = scaled.sort(dim=1, descending=True, stable=True)
    rank = torch.arange(scaled.shape[1], device=scaled.device)
    keep = (rank < top_k[:, None]) & (ordered >= ordered[:, :1] + min_p.log()[:, None])
    probabilities = ordered.masked_fill(~keep, -torch.inf).softmax(dim=1)
    before = probabilities.cumsum(dim=1) - probabilities
    keep &= (before < top_p[:, None]) | (top_p[:, None] >= 1)
    keep[:, 0] = True
    return scaled.masked_fill(~torch.empty_like(keep).scatter_(1, ids, keep), -torch.inf)
