"""The paged KV memory of one model: blocks of tokens for all its layers, addressed by block number.

Layout (layers, blocks, block, 2, kv heads, head dim): one token's keys and values lie together, so a block table
gathers both with one index_select of contiguous blocks, and one token of all layers is one indexed write. Which row
owns which block is decided in ``schedule/blocks.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """Shape of one model's KV per token."""

    layers: int
    kv_heads: int
    head_dim: int

    @classmethod
    def of(cls, config: Any) -> CacheSpec:
        """Read it from a transformers config."""
        heads = config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(config.num_hidden_layers, kv_heads, head_dim)

    @property
    def numbers_per_token(self) -> int:
        return self.layers * 2 * self.kv_heads * self.head_dim


class KVPool:
    """KV of one model.

    Masked positions are read too, times zero, so the numbers there must be finite: a block is ``clear``ed when a row
    gets it, and block tables are filled up with ``padding``, an extra block that no row gets and that stays zero.
    Nothing else is touched before it is used.
    """

    def __init__(
        self, spec: CacheSpec, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.spec = spec
        self.block_size = block_size
        self.num_blocks = self.padding = num_blocks
        shape = (spec.layers, num_blocks + 1, block_size, 2, spec.kv_heads, spec.head_dim)
        self.data = torch.empty(shape, dtype=dtype, device=device)
        self._slots = self.data.flatten(1, 2)
        self._blocks = self.data.flatten(2)
        self.data[:, self.padding] = 0
        # Views per layer, made once: decode asks for them in every layer of every step.
        self._layer_slots = list(self._slots)
        self._layer_blocks = list(self._blocks)

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store keys and values (N, kv heads, head dim) of one layer at ``slots`` (N,) int64."""
        self.store(layer, slots, torch.stack((keys, values), dim=1))

    def store(self, layer: int, slots: Tensor, entries: Tensor) -> None:
        """Store entries (N, 2, kv heads, head dim) of one layer at ``slots`` (N,) int64."""
        self._layer_slots[layer].index_copy_(0, slots, entries)

    def write_all(self, slots: Tensor, entries: Tensor) -> None:
        """Store entries (layers, N, 2, kv heads, head dim) of all layers at ``slots`` (N,)."""
        self._slots.index_copy_(1, slots, entries)

    def slots(self, block_table: Tensor, position: Tensor) -> Tensor:
        """Where one position of each row, (B,) int64, is stored: block_table (B, P) int64 -> (B,) int64."""
        block = block_table.gather(1, (position // self.block_size)[:, None])[:, 0]
        return block * self.block_size + position % self.block_size

    def gather(self, layer: int, block_table: Tensor) -> Tensor:
        """KV of whole rows: block_table (B, P) int64 -> (B, P * block, 2, kv heads, head dim), a copy."""
        rows, blocks = block_table.shape
        found = self._layer_blocks[layer].index_select(0, block_table.reshape(-1))
        return found.view(rows, blocks * self.block_size, 2, self.spec.kv_heads, self.spec.head_dim)

    def clear(self, blocks: Tensor) -> None:
        """Zero whole blocks (C,) int64 in all layers: numbers that earlier rows left there may not even be finite."""
        self._blocks.index_fill_(1, blocks, 0)

    def copy_blocks(self, sources: Tensor, targets: Tensor) -> None:
        """Copy whole blocks, all layers: (C,) int64 each. A fork takes its own copy of a half-filled block."""
        self._blocks.index_copy_(1, targets, self._blocks.index_select(1, sources))
