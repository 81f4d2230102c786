"""Turns the scheduler's plans into batches: the tensors that one step runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mavis_core.model.attention import AttentionStep, MixedAttention
from mavis_core.model.backends import AttentionBackend, sdpa
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.prefill import PrefillBatch
from mavis_core.sample.noise import token_hashes
from mavis_core.sample.row_tensors import RowTensors
from mavis_core.sample.track_tensors import TrackTensors
from mavis_core.schedule.row import Row
from mavis_core.schedule.scheduler import Plan
from mavis_core.schedule.track import Track


@dataclass(slots=True)
class StepBatch:
    """One step: N tokens to run, B rows that draw (``rows``), of which the first G are guided, and their C companions.

    Attributes:
        tokens, positions: (N,) int64.
        attention: of the policy.
        last: (B + C,) int64, where among the N tokens each drawing row's newest one is, then each companion's; None if
            N = B + C in order.
        rows: state of the rows that draw, or None if none does (a chunk that ends before its prompt).
    """

    tokens: Tensor
    positions: Tensor
    attention: AttentionStep
    last: Tensor | None
    rows: RowTensors | None


class Batcher:
    """Turns plans into batches, reusing the row tensors while the rows stay."""

    def __init__(self, pool: KVPool, vocab_size: int, device: torch.device, backend: AttentionBackend = sdpa) -> None:
        self._pool = pool
        self._backend = backend
        self._hashes = token_hashes(vocab_size, device)
        self._device = device
        self._current: RowTensors | None = None

    def prepare(self, plan: Plan) -> StepBatch:
        chunks = [*plan.prefill, *plan.beside]
        if not chunks:
            steady = self._rows(plan.decode, True)
            tracks = steady.tracks
            attention = tracks.decode_attention(self._pool, self._backend)
            return StepBatch(tracks.last_token, tracks.newest, attention, None, steady)
        drawing, last = _drawing(plan)
        rows = self._rows(drawing, len(drawing) == len(plan.decode)) if drawing else None
        prefill = PrefillBatch.build(chunks, self._pool.block_size, self._device)
        where = torch.tensor(last, dtype=torch.int64).to(self._device)
        prompts = prefill.attention(self._pool, self._backend)
        if not plan.decode:
            return StepBatch(prefill.tokens, prefill.positions, prompts, where, rows)
        if rows is not None and rows.rows == plan.decode:
            decode = rows.tracks
        else:
            decode = TrackTensors(_decoding(plan), self._pool, self._device)
        return StepBatch(
            torch.cat((decode.last_token, prefill.tokens)),
            torch.cat((decode.newest, prefill.positions)),
            MixedAttention(decode.decode_attention(self._pool, self._backend), prompts),
            where,
            rows,
        )

    def forget(self) -> None:
        """Build the next batch anew: rows are steered otherwise than its tensors say."""
        self._current = None

    def _rows(self, drawing: Sequence[Row], decoding: bool) -> RowTensors:
        """The last step's tensors if all its rows decode again; a row that was just prefilled may have other blocks."""
        if not decoding or self._current is None or not self._current.follows(drawing):
            self._current = RowTensors(drawing, self._pool, self._hashes)
        else:
            self._current.tracks.sync_blocks()
        return self._current


def _decoding(plan: Plan) -> list[Track]:
    """What feeds one token: the rows, then their companions, as in ``RowTensors``."""
    return [*plan.decode, *(companion for row in plan.decode for companion in row.companions)]


def _drawing(plan: Plan) -> tuple[list[Row], list[int]]:
    """The rows that draw, guided ones first, and where the newest token of each lies, then of each companion."""
    at = {id(track): i for i, track in enumerate(_decoding(plan))}
    end, found = plan.decode_tokens, [*plan.decode]
    for chunk in (*plan.prefill, *plan.beside):
        end += chunk.count
        if chunk.last:
            at[id(chunk.track)] = end - 1
            found += [chunk.row] if chunk.track is chunk.row else []
    for parent, child in plan.forks:
        at |= {id(new): at[id(old)] for old, new in zip(parent.tracks, child.tracks, strict=True)}
        found.append(child)
    found.sort(key=lambda row: not row.guided)
    beside = (companion for row in found for companion in row.companions)
    return found, [at[id(track)] for track in (*found, *beside)]
