"""Prompt chunks of one step, flattened to the tensors that a forward takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mavis_core.model.attention import Chunk, PrefillAttention
from mavis_core.model.kv_pool import KVPool
from mavis_core.schedule.scheduler import PrefillChunk


@dataclass(slots=True)
class PrefillBatch:
    """Prompt chunks, flattened: tokens, positions and slots (N,) int64."""

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    chunks: list[Chunk]

    @classmethod
    def build(cls, planned: Sequence[PrefillChunk], block_size: int, device: torch.device) -> PrefillBatch:
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        chunks: list[Chunk] = []
        for part in planned:
            track, stop = part.track, part.start + part.count
            chunks.append(
                Chunk(
                    len(tokens),
                    len(tokens) + part.count,
                    part.start,
                    torch.tensor([track.blocks[: -(-stop // block_size)]]).to(device),
                )
            )
            tokens += track.tokens[part.start : stop]
            positions += range(part.start, stop)
            slots += [track.blocks[p // block_size] * block_size + p % block_size for p in range(part.start, stop)]
        flat = torch.tensor([tokens, positions, slots]).to(device)
        return cls(flat[0], flat[1], flat[2], chunks)

    def attention(self, pool: KVPool) -> PrefillAttention:
        return PrefillAttention(pool, self.slots, self.chunks)
