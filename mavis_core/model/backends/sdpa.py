"""The reference: torch's scaled_dot_product_attention over gathered blocks, on any device."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mavis_core.model.attention import Chunk, DecodeAttention, PrefillAttention, SiblingAttention
from mavis_core.model.held_kv import HeldKV
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.span import Span


def decode(
    pool: KVPool, slots: Tensor, block_table: Tensor, length: Tensor, mask: Tensor, held: HeldKV | None = None
) -> DecodeAttention:
    if held is not None and not held.fits(block_table):
        held = None
    return DecodeAttention(pool, slots, length, Span(block_table, mask), held=held)


def prefill(pool: KVPool, slots: Tensor, chunks: Sequence[Chunk]) -> PrefillAttention:
    return PrefillAttention(pool, slots, chunks)


def siblings(pool: KVPool, block_table: Tensor, length: Tensor, longest: int, width: int) -> SiblingAttention:
    return SiblingAttention(pool, block_table, length, longest, width)
