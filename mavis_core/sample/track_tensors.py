"""Where texts stand, on the device: the newest token of each, its position, and the blocks that hold what came before.

Of any tracks, whether they draw (rows) or follow (companions). Built when they change; from step to step only advanced.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mavis_core.model.attention import DecodeStep
from mavis_core.model.backends import AttentionBackend, sdpa
from mavis_core.model.held_kv import HeldKV
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.span import length_mask
from mavis_core.schedule.track import Track

TABLE_SLACK = 8


class TrackTensors:
    """Of S tracks.

    Attributes:
        last_token, newest, length: (S,) int64; the newest token, its position, and how many tokens there are with it.
        block_table: (S, P) int64, filled up with the pools' padding.
    """

    def __init__(self, tracks: Sequence[Track], pool: KVPool, device: torch.device) -> None:
        self._tracks = tracks
        self._block_size = pool.block_size
        integers = [(track.tokens[-1], len(track.tokens) - 1, len(track.tokens)) for track in tracks]
        self.last_token, self.newest, self.length = torch.tensor(integers).to(device).T.contiguous()
        self._columns = max(len(track.blocks) for track in tracks) + TABLE_SLACK
        self._known = [len(track.blocks) for track in tracks]
        table = [track.blocks + [pool.padding] * (self._columns - len(track.blocks)) for track in tracks]
        self.block_table = torch.tensor(table).to(device)
        self._mask: Tensor | None = None
        self._held = HeldKV(pool, len(tracks))
        self._lay_out_slots()

    @property
    def fit(self) -> bool:
        """Whether every block table still has room for what its track has."""
        return max(len(track.blocks) for track in self._tracks) <= self._columns

    def advance(self, tokens: Tensor) -> None:
        """Append a token (S,) int64 to each."""
        self.last_token.copy_(tokens)
        self.length += 1
        self.newest += 1

    def sync_blocks(self) -> None:
        """Write the blocks that tracks gained since the last step."""
        gained = [
            (i, column, block)
            for i, track in enumerate(self._tracks)
            if len(track.blocks) > self._known[i]
            for column, block in enumerate(track.blocks[self._known[i] :], self._known[i])
        ]
        if gained:
            where = torch.tensor(gained).to(self.block_table.device)
            self.block_table[where[:, 0], where[:, 1]] = where[:, 2]
            self._known = [len(track.blocks) for track in self._tracks]
            self._lay_out_slots()

    def _lay_out_slots(self) -> None:
        """The pool slot of every position of every track, (S, P * block); changes only with the blocks."""
        within = torch.arange(self._block_size, device=self.block_table.device)
        self._slots = (self.block_table[:, :, None] * self._block_size + within).flatten(1)

    def decode_attention(self, pool: KVPool, backend: AttentionBackend = sdpa) -> DecodeStep:
        """Attention of the newest token of every track."""
        blocks = -(-max(len(track.tokens) for track in self._tracks) // self._block_size)
        held = None if self._mask is None else self._held  # for one step it is not worth while
        if self._mask is None:
            self._mask = length_mask(self.length, self._slots.shape[1], pool.data.dtype)
        at = self.newest[:, None]
        self._mask[:, 0, 0].scatter_(1, at, 0.0)
        slots = self._slots.gather(1, at)[:, 0]
        mask = self._mask[..., : blocks * self._block_size]
        return backend.decode(pool, slots, self.block_table[:, :blocks], self.length, mask, held)
