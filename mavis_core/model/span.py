"""Which cached tokens the rows of a step look at: all of each row, or the last blocks of it, for a sliding window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """What is read of each row's cache, and what of that is seen.

    Attributes:
        block_table: (B, P) int64.
        mask: (B, 1, 1, P * block) additive.
    """

    block_table: Tensor
    mask: Tensor


def length_mask(length: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, 1, width): 0 where position < length (B,), -inf beyond."""
    return _additive(torch.arange(width, device=length.device) >= length[:, None], dtype)


def window_span(
    block_table: Tensor, block_size: int, position: Tensor, length: Tensor, window: int, dtype: torch.dtype
) -> Span:
    """What a token at ``position`` (B,) sees through ``window`` of the ``length`` (B,) tokens cached of its row.

    Of each row as many blocks are read as a window can touch, wherever it begins; the row's own layout does not
    depend on its neighbours.

    Args:
        block_table: (B, P) int64, wide enough for every row.
    """
    columns = block_table.shape[1]
    touched = min(columns, (window + block_size - 2) // block_size + 1)
    begin = (position - window + 1).clamp_min(0) // block_size
    column = begin[:, None] + torch.arange(touched, device=position.device)
    within = torch.arange(block_size, device=position.device)
    at = (column[:, :, None] * block_size + within).flatten(1)
    hidden = (at <= (position - window)[:, None]) | (at >= length[:, None])
    return Span(block_table.gather(1, column.clamp_max(columns - 1)), _additive(hidden, dtype))


def _additive(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, T) bool, True is not seen -> (B, 1, 1, T)."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, -torch.inf)[:, None, None]
