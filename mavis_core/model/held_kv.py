"""KV of rows that decode, side by side as attention reads it, held from step to step while the rows stay.

To gather a row's blocks is to copy all of its KV, in every layer of every step. Here that happens once; afterwards each
step adds its token. The blocks stay what everything else reads: the copies are dropped when a row comes or goes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mavis_core.model.kv_pool import KVPool

SLACK = 4  # blocks of each row beyond those that it needs, so that it can grow
MOST_BYTES = 1 << 30  # of all layers; rows that are longer are gathered in every step


class HeldKV:
    """Of ``rows`` rows in one pool."""

    def __init__(self, pool: KVPool, rows: int) -> None:
        self._pool = pool
        self._layers: dict[int, Tensor] = {}
        self._rows = torch.arange(rows, device=pool.data.device)

    def fits(self, block_table: Tensor) -> bool:
        """Whether that much may be held, in the memory of a CPU; drops what there is if not."""
        rows, blocks = block_table.shape
        numbers = rows * (blocks + SLACK) * self._pool.block_size * self._pool.spec.numbers_per_token
        data = self._pool.data
        found: bool = data.device.type == "cpu" and numbers * data.itemsize <= MOST_BYTES
        if not found:
            self._layers.clear()
        return found

    def with_newest(self, layer: int, entries: Tensor, newest: Tensor, block_table: Tensor) -> Tensor:
        """KV of one layer, (B, P * block, 2, kv heads, head dim), as ``KVPool.gather`` gives it; called once a step.

        Args:
            entries: (B, 2, kv heads, head dim), of each row's newest token, which the pool has too.
            newest: (B,) int64, its position.
            block_table: (B, P) int64.
        """
        width = block_table.shape[1] * self._pool.block_size
        held = self._layers.get(layer)
        if held is None or held.shape[1] < width:
            wide = F.pad(block_table, (0, SLACK), value=self._pool.padding)
            held = self._layers[layer] = self._pool.gather(layer, wide)
        else:
            held[self._rows, newest] = entries
        return held[:, :width]
