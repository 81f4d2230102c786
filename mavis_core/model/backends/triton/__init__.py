"""Kernels in Triton, on CUDA: rows are read where they lie, split over their length, and by all K candidates at once.

Whatever an ``AttentionSpec`` asks for is computed in the kernels: windows, caps, sinks. One thing is left to the
reference: a chunk without a context in a layer that asks for nothing special, where torch's own causal attention
reads the keys as they come from the layer and is as good as it gets.

No argument of a launch depends on what is on the device, so a decode step may be captured as a CUDA graph. Under
Triton's interpreter (TRITON_INTERPRET=1 before triton is imported) everything runs on a CPU too, slowly, for tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import triton
from torch import Tensor

from mavis_core.api.errors import ConfigError
from mavis_core.model.attention import Chunk, PrefillAttention, SiblingAttention
from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.backends.triton.cached import attend_cached
from mavis_core.model.backends.triton.launch import chunk_attention, newest_attention
from mavis_core.model.held_kv import HeldKV
from mavis_core.model.kv_pool import KVPool

INTERPRETED = not isinstance(attend_cached, triton.JITFunction)


def decode(
    pool: KVPool, slots: Tensor, block_table: Tensor, length: Tensor, mask: Tensor, held: HeldKV | None = None
) -> TritonDecode:
    _refuse_cpu(pool)
    return TritonDecode(pool, slots, block_table, length - 1)


def prefill(pool: KVPool, slots: Tensor, chunks: Sequence[Chunk]) -> TritonPrefill:
    _refuse_cpu(pool)
    return TritonPrefill(pool, slots, chunks)


def siblings(pool: KVPool, block_table: Tensor, length: Tensor, longest: int, width: int) -> TritonSiblings:
    _refuse_cpu(pool)
    return TritonSiblings(pool, block_table, length, longest, width)


def _refuse_cpu(pool: KVPool) -> None:
    if not (pool.data.is_cuda or INTERPRETED):
        raise ConfigError(f"attention_backend='triton': the model is on {pool.data.device}, must be on cuda")


@dataclass(slots=True)
class TritonDecode:
    """One new token per row.

    Attributes:
        block_table: (B, P) int64.
        prefix_length: (B,) int64, tokens of each row before the new one.
    """

    pool: KVPool
    slots: Tensor
    block_table: Tensor
    prefix_length: Tensor

    def over(self, pool: KVPool) -> TritonDecode:
        return replace(self, pool=pool)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        stored, prefix = self.pool.data[layer], self.prefix_length
        return newest_attention(self.pool, layer, self.block_table, prefix, query, key, value, spec, stored, self.slots)


class TritonSiblings(SiblingAttention):
    """Candidates of each row: as in the reference they are stored apart until one of each row is kept."""

    def __init__(self, pool: KVPool, block_table: Tensor, length: Tensor, longest: int, width: int) -> None:
        super().__init__(pool, block_table, length, longest, width)
        self._apart = torch.arange(self.rows * width, device=block_table.device)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        table, stored = self._whole.block_table, self.siblings[layer]
        return newest_attention(self.pool, layer, table, self._length, query, key, value, spec, stored, self._apart)


class TritonPrefill(PrefillAttention):
    """Prompt chunks, one launch each."""

    def _attend(
        self, layer: int, chunk: Chunk, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec
    ) -> Tensor:
        count = chunk.stop - chunk.start
        if not chunk.context and spec.fused and (spec.window is None or spec.window >= count):
            return super()._attend(layer, chunk, query, key, value, spec)
        own = query[chunk.start : chunk.stop]
        return chunk_attention(self.pool, layer, chunk.block_table[0], chunk.context, own, spec)
