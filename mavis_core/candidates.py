"""The candidate set C of a guided step: the k most likely tokens that survive the request's own filters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Candidates(NamedTuple):
    """Candidates of G rows, most likely first.

    Attributes:
        ids: (G, K) int64 token ids.
        logits: (G, K) float32, ell / T; -inf where not valid.
        reference: (G, K) float32, log ref over the full vocabulary (nats); -inf where not valid.
        valid: (G, K) bool, at least one per row; None where every entry is valid.
    """

    ids: Tensor
    logits: Tensor
    reference: Tensor
    valid: Tensor | None


def find_candidates(scaled: Tensor, surviving: Tensor, k: Tensor, width: int, full: bool = False) -> Candidates:
    """The ``k`` most likely tokens of ref = softmax(scaled) among the surviving ones (MAVIS, eq. of p over C).

    Args:
        scaled: (G, V) float32, ell / T after masks.
        surviving: (G, V) float32, ``scaled`` with -inf where top_k, top_p or min_p removed a token; may be
            ``scaled`` itself.
        k: (G,) int64, 1 to ``width``, each row's own k.
        width: K, the largest k of the rows (host integer).
        full: the caller knows that every row has ``width`` finite candidates and asks for all of them.
    """
    width = min(width, scaled.shape[1])
    logits, ids = surviving.topk(width, dim=1)
    normaliser = scaled.logsumexp(dim=1, keepdim=True)
    if full:
        return Candidates(ids, logits, logits - normaliser, None)
    valid = (torch.arange(width, device=k.device) < k[:, None]) & (logits > -torch.inf)
    logits = logits.masked_fill(~valid, -torch.inf)
    return Candidates(ids, logits, logits - normaliser, valid)
