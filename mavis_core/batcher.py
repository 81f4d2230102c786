"""Plans to batches: the tensors that one step runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mavis_core.model.attention import AttentionStep, MixedAttention
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.prefill import PrefillBatch
from mavis_core.sample.noise import token_hashes
from mavis_core.sample.row_tensors import RowTensors
from mavis_core.schedule.row import Row
from mavis_core.schedule.scheduler import Plan


@dataclass(slots=True)
class StepBatch:
    """One step: N tokens to run, B rows that draw (``rows``), of which the first G are guided.

    Attributes:
        tokens, positions: (N,) int64.
        attention: of the policy.
        last: (B,) int64, where among the N tokens each drawing row's newest one is; None if N = B in order.
        rows: state of the rows that draw, or None if none does (a chunk that ends before its prompt).
    """

    tokens: Tensor
    positions: Tensor
    attention: AttentionStep
    last: Tensor | None
    rows: RowTensors | None


class Batcher:
    """Turns plans into batches, reusing the row tensors while the rows stay."""

    def __init__(self, pool: KVPool, vocab_size: int, device: torch.device) -> None:
        self._pool = pool
        self._hashes = token_hashes(vocab_size, device)
        self._device = device
        self._current: RowTensors | None = None

    def prepare(self, plan: Plan) -> StepBatch:
        if not plan.prefill:
            steady = self._rows(plan.decode, True)
            attention = steady.decode_attention(self._pool)
            return StepBatch(steady.last_token, steady.newest, attention, None, steady)
        drawing, last = _drawing(plan)
        rows = self._rows(drawing, len(drawing) == len(plan.decode)) if drawing else None
        prefill = PrefillBatch.build(plan.prefill, self._pool.block_size, self._device)
        where = torch.tensor(last, dtype=torch.int64).to(self._device)
        prompts = prefill.attention(self._pool)
        if not plan.decode:
            return StepBatch(prefill.tokens, prefill.positions, prompts, where, rows)
        if rows is not None and rows.rows == plan.decode:
            decode = rows
        else:
            decode = RowTensors(plan.decode, self._pool, self._hashes)
        return StepBatch(
            torch.cat((decode.last_token, prefill.tokens)),
            torch.cat((decode.newest, prefill.positions)),
            MixedAttention(decode.decode_attention(self._pool), prompts),
            where,
            rows,
        )

    def _rows(self, drawing: Sequence[Row], decoding: bool) -> RowTensors:
        """The last tensors if all go on ``decoding``; a row that was just prefilled may have other blocks."""
        if not decoding or self._current is None or not self._current.follows(drawing):
            self._current = RowTensors(drawing, self._pool, self._hashes)
        else:
            self._current.sync_blocks()
        return self._current


def _drawing(plan: Plan) -> tuple[list[Row], list[int]]:
    """The rows that draw in a mixed step, guided ones first, and where each one's newest token lies."""
    found = [(row, i) for i, row in enumerate(plan.decode)]
    end, ends = len(plan.decode), {}
    for chunk in plan.prefill:
        end += chunk.count
        if chunk.last:
            ends[id(chunk.row)] = end - 1
            found.append((chunk.row, end - 1))
    found += [(child, ends[id(parent)]) for parent, child in plan.forks]
    found.sort(key=lambda item: not item[0].guided)
    return [row for row, _ in found], [at for _, at in found]
