"""The candidate set C of a guided step: the k most likely tokens that the request's own filters leave.

In a row that is steered in words the end of the answer is always among them: an instruction like "be brief" speaks
above all about when to stop, where the policy itself may not have the end among its first hundred.
"""

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


def find_candidates(
    scaled: Tensor, surviving: Tensor, k: Tensor, width: int, full: bool = False, ends: Tensor | None = None
) -> Candidates:
    """The ``k`` most likely tokens of ref = softmax(scaled) among the surviving ones (MAVIS, eq. of p over C).

    Args:
        scaled: (G, V) float32, ell / T after masks.
        surviving: (G, V) float32, ``scaled`` with -inf where top_k, top_p or min_p removed a token; may be
            ``scaled`` itself.
        k: (G,) int64, 1 to ``width``, each row's own k.
        width: K, the largest k of the rows (host integer).
        full: the caller knows that every row has ``width`` finite candidates and asks for all of them.
        ends: (G, E) int64, tokens that end each row, of which the likeliest surviving one takes the place of the last
            candidate where none is a candidate already; -1 is no token. A row with k = 1 keeps its only candidate.
    """
    logprobs = scaled.log_softmax(dim=1)
    if surviving is not scaled:
        logprobs = logprobs.masked_fill(surviving == -torch.inf, -torch.inf)
    reference, ids = logprobs.topk(min(width, scaled.shape[1]), dim=1)
    valid = None
    if not full:
        valid = (torch.arange(reference.shape[1], device=k.device) < k[:, None]) & (reference > -torch.inf)
        reference = reference.masked_fill(~valid, -torch.inf)
    if ends is not None:
        ids, reference = _with_end(ids, reference, logprobs, k, ends)
    return Candidates(ids, reference, valid)


def _with_end(ids: Tensor, reference: Tensor, logprobs: Tensor, k: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Candidates (G, K) and their log ref with the likeliest of ``ends`` as the last, where none is there."""
    there = ((ids[:, :, None] == ends[:, None]) & (reference > -torch.inf)[:, :, None]).any(dim=(1, 2))
    likelihood = logprobs.gather(1, ends.clamp(min=0)).masked_fill(ends < 0, -torch.inf)
    likeliest, which = likelihood.max(dim=1, keepdim=True)
    missing = ~there[:, None] & (likeliest > -torch.inf) & (k[:, None] > 1)
    last = (k[:, None] - 1).clamp(max=ids.shape[1] - 1)
    ids = ids.scatter(1, last, torch.where(missing, ends.gather(1, which), ids.gather(1, last)))
    return ids, reference.scatter(1, last, torch.where(missing, likeliest, reference.gather(1, last)))


def lowest(x: Tensor, valid: Tensor | None) -> Tensor:
    """Smallest valid entry over dimension 1; x (G, K, ...), valid broadcasts against it, None is all."""
    return (x if valid is None else x.masked_fill(~valid, torch.inf)).amin(dim=1)


def highest(x: Tensor, valid: Tensor | None) -> Tensor:
    """Largest valid entry over dimension 1, as ``lowest``."""
    return (x if valid is None else x.masked_fill(~valid, -torch.inf)).amax(dim=1)
