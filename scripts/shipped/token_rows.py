"""Endless training batches from one packed token array that lives on the training device.

Every epoch the documents are put in a new order, laid end to end and cut into rows at a new
offset, so that each token is seen exactly once per epoch but never twice with the same
neighbours. Over many epochs of a small corpus fixed neighbours would be learned by heart.
Attention may cross a document's `<|begin|>` inside a row: masking it costs the fused causal
kernel and the model learns to look no further back.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def epochs(tokens: Tensor, begin: int, length: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows one at a time, (length + 1,) int64 each, without end.

    tokens: (N,) int, documents back to back, each opened by the token `begin`.
    """
    starts = torch.nonzero(tokens == begin).flatten()
    sizes = torch.diff(starts, append=starts.new_tensor([len(tokens)]))
    while True:
        order = torch.randperm(len(starts), generator=generator, device=tokens.device)
        stream = tokens[_document_index(starts[order], sizes[order])]
        spare = (len(stream) - 1) % length
        offset = int(torch.randint(spare + 1, (1,), generator=generator, device=tokens.device))
        count = (len(stream) - offset - 1) // length
        firsts = torch.randperm(count, generator=generator, device=tokens.device) * length + offset
        span = torch.arange(length + 1, device=tokens.device)
        for block in firsts.split(256):
            yield from stream[block[:, None] + span].long()


def _document_index(starts: Tensor, sizes: Tensor) -> Tensor:
    """Positions (N,) that read documents in the given order: starts (n,), sizes (n,)."""
    new_starts = torch.cumsum(sizes, 0) - sizes
    shift = torch.repeat_interleave(starts - new_starts, sizes)
    return torch.arange(len(shift), device=starts.device) + shift


def whole_rows(tokens: Tensor, length: int) -> Tensor:
    """The array cut in reading order, (R, length + 1), for evaluation; the last rest is left out.

    Neighbouring rows share one token, so that every token but the first is predicted once.
    """
    return tokens.unfold(0, length + 1, length).long()
