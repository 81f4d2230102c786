"""The candidate set C of a guided step: the k most likely tokens that the request's own filters leave."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Candidates(NamedTuple):
    """Candidates of G rows, most likely first.

    Attributes:
        ids: (G, K) int64 token ids.
        reference: (G, K) float32, log ref over the full vocabulary (nats), which is ell / T up to a constant per
            row; -inf where not valid.
        valid: (G, K) bool, at least one per row; None where every entry is valid.
    """

    ids: Tensor
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
    logprobs = scaled.log_softmax(dim=1)
    if surviving is not scaled:
        logprobs = logprobs.masked_fill(surviving == -torch.inf, -torch.inf)
    reference, ids = logprobs.topk(min(width, scaled.shape[1]), dim=1)
    if full:
        return Candidates(ids, reference, None)
    valid = (torch.arange(reference.shape[1], device=k.device) < k[:, None]) & (reference > -torch.inf)
    return Candidates(ids, reference.masked_fill(~valid, -torch.inf), valid)


def lowest(x: Tensor, valid: Tensor | None) -> Tensor:
    """Smallest valid entry over dimension 1; x (G, K, ...), valid broadcasts against it, None is all."""
    return (x if valid is None else x.masked_fill(~valid, torch.inf)).amin(dim=1)


def highest(x: Tensor, valid: Tensor | None) -> Tensor:
    """Largest valid entry over dimension 1, as ``lowest``."""
    return (x if valid is None else x.masked_fill(~valid, -torch.inf)).amax(dim=1)
