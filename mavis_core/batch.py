"""Host rows to device tensors: what one step runs on.

``RowTensors`` holds everything per row on the device and is rebuilt only when the rows that draw change; a
steady decode step only advances it (two in-place adds, one copy of the drawn tokens that never leave the
device, and the block numbers of rows that entered a new block). Guided rows come first, so that everything
guided is a prefix slice and costs unguided rows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mavis_core.attention import AttentionStep, Chunk, DecodeAttention, MixedAttention, PrefillAttention, length_mask
from mavis_core.guidance import Guidance
from mavis_core.kv_pool import KVPool
from mavis_core.logit_edits import LogitEdits
from mavis_core.noise import token_hashes
from mavis_core.noise_ahead import NoiseAhead
from mavis_core.row import Row
from mavis_core.scheduler import Plan, PrefillChunk

TABLE_SLACK = 8


def first(rows: Tensor, count: int) -> Tensor:
    """The first ``count`` rows; the tensor itself if that is all of them, which saves making a view."""
    return rows if count == rows.shape[0] else rows[:count]


class RowTensors:
    """Per-row state of the B rows that draw in a step, the first G of them guided.

    Attributes:
        last_token, newest, length: (B,) int64; the newest token, its position, and how many tokens there are with it.
        block_table: (B, P) int64, filled up with the pools' padding.
        noise: Gumbel noise at this position; 0 for greedy rows.
        temperature: (B,) float32, 1 for greedy rows.
        top_k, top_p, min_p: (B,), for ``apply_filters``; ``filtered`` says whether any row has one on, ``widest`` is
            the largest top_k, V where a row has none.
        k, beta, limit, minmax, weights: (G,), (G,), (G,), (G,) bool, (G, M), of the guided rows; ``pull`` is
            beta * weights, (G, M).
        named: (G, 1, M) bool, the objectives that each guided row names.
        ranks: (G,) int64, which candidate by likelihood a ranked row takes, -1 for one that draws; None if all draw.
        readers: by a value's first column, which guided rows it scores; kept by ``ValueSet``.
        width: K, the most candidates any guided row asks for; ``full`` says that all rows have that many.
    """

    def __init__(self, rows: Sequence[Row], pool: KVPool, hashes: Tensor) -> None:
        vocab_size, device = hashes.shape[0], hashes.device
        self.rows = list(rows)
        self.guided = sum(row.guided for row in rows)
        self.readers: dict[int, Tensor | None] = {}
        self._block_size = pool.block_size
        sampling = [row.request.sampling for row in rows]
        guidance = [row.request.guidance for row in rows[: self.guided]]
        integers = torch.tensor(
            [
                (row.tokens[-1], len(row.tokens) - 1, len(row.tokens), s.top_k if s.top_k > 0 else vocab_size)
                for row, s in zip(rows, sampling, strict=True)
            ]
        ).to(device)
        self.last_token, self.newest, self.length, self.top_k = integers.T.contiguous()
        floats = torch.tensor(
            [(s.temperature or 1.0, float(s.temperature > 0), s.top_p, s.min_p) for s in sampling],
            dtype=torch.float32,
        ).to(device)
        self.temperature, random, self.top_p, self.min_p = floats.T.contiguous()
        self.scaled = any(s.temperature not in (0, 1) for s in sampling)
        self.filtered = any(s.top_k > 0 or s.top_p < 1 or s.min_p > 0 for s in sampling)
        self.widest = max(s.top_k if s.top_k > 0 else vocab_size for s in sampling)
        keys, positions = torch.tensor([(row.key, row.output_length) for row in rows]).to(device).T.contiguous()
        greedy = any(s.temperature == 0 for s in sampling)
        self.noise = NoiseAhead(keys, positions, hashes, random if greedy else None, self.guided)
        self.edits = LogitEdits(self.rows, vocab_size, device)
        self.width = max((g.top_k for g in guidance), default=0)
        self.full = self._full(guidance, vocab_size)
        self.k = torch.tensor([g.top_k for g in guidance], dtype=torch.int64).to(device)
        self.beta = torch.tensor([row.beta for row in rows[: self.guided]], dtype=torch.float32).to(device)
        limits = [torch.inf if g.max_kl_per_token is None else g.max_kl_per_token for g in guidance]
        self.limited = any(g.max_kl_per_token is not None for g in guidance)
        self.limit = torch.tensor(limits, dtype=torch.float32).to(device)
        self.normalised = any(g.normalise == "minmax" for g in guidance)
        self.minmax = torch.tensor([g.normalise == "minmax" for g in guidance], dtype=torch.bool).to(device)
        self.weights = torch.tensor([row.weights for row in rows[: self.guided]], dtype=torch.float32).to(device)
        named = [[column in row.named for column in range(len(row.weights))] for row in rows[: self.guided]]
        self.named = torch.tensor(named, dtype=torch.bool)[:, None].to(device)
        self.pull = self.weights * self.beta[:, None] if self.guided else self.weights
        ranks = [row.index if row.request.sampling.ranked else -1 for row in rows[: self.guided]]
        self.ranks = torch.tensor(ranks).to(device) if any(rank >= 0 for rank in ranks) else None
        self._columns = max(len(row.blocks) for row in rows) + TABLE_SLACK
        self._known = [len(row.blocks) for row in rows]
        table = [row.blocks + [pool.padding] * (self._columns - len(row.blocks)) for row in rows]
        self.block_table = torch.tensor(table).to(device)
        self._mask: Tensor | None = None
        self._lay_out_slots()

    def _full(self, guidance: Sequence[Guidance], vocab_size: int) -> bool:
        """Whether every guided row surely has ``width`` candidates, whatever tokens are banned."""
        if any(row.matcher is not None for row in self.rows[: self.guided]):
            return False
        banned = max((len(row.stop_ids) for row in self.rows), default=0)
        return not self.filtered and all(g.top_k == self.width for g in guidance) and self.width + banned <= vocab_size

    @property
    def max_length(self) -> int:
        return max(len(row.tokens) for row in self.rows)

    def follows(self, rows: Sequence[Row]) -> bool:
        """Whether ``rows`` are these rows and every block table still fits."""
        return self.rows == list(rows) and max(len(row.blocks) for row in rows) <= self._columns

    def advance(self, drawn: Tensor) -> None:
        """Append the drawn tokens (B,) int64: the state of the next step."""
        self.last_token.copy_(drawn)
        self.length += 1
        self.newest += 1
        self.noise.advance()
        self.edits.advance(drawn)

    def sync_blocks(self) -> None:
        """Write the blocks that rows gained since the last step."""
        gained = [
            (i, column, block)
            for i, row in enumerate(self.rows)
            if len(row.blocks) > self._known[i]
            for column, block in enumerate(row.blocks[self._known[i] :], self._known[i])
        ]
        if gained:
            where = torch.tensor(gained).to(self.block_table.device)
            self.block_table[where[:, 0], where[:, 1]] = where[:, 2]
            self._known = [len(row.blocks) for row in self.rows]
            self._lay_out_slots()

    def _lay_out_slots(self) -> None:
        """The pool slot of every position of every row, (B, P * block); changes only with the blocks."""
        within = torch.arange(self._block_size, device=self.block_table.device)
        self._slots = (self.block_table[:, :, None] * self._block_size + within).flatten(1)

    def decode_attention(self, pool: KVPool) -> DecodeAttention:
        """Attention of the newest token of every row."""
        blocks = -(-self.max_length // self._block_size)
        if self._mask is None:
            self._mask = length_mask(self.length, self._slots.shape[1], pool.data.dtype)
        at = self.newest[:, None]
        self._mask[:, 0, 0].scatter_(1, at, 0.0)
        slots = self._slots.gather(1, at)[:, 0]
        return DecodeAttention(pool, slots, self.block_table[:, :blocks], self._mask[..., : blocks * self._block_size])


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
            row, stop = part.row, part.start + part.count
            chunks.append(
                Chunk(
                    len(tokens),
                    len(tokens) + part.count,
                    part.start,
                    torch.tensor([row.blocks[: -(-stop // block_size)]]).to(device),
                )
            )
            tokens += row.tokens[part.start : stop]
            positions += range(part.start, stop)
            slots += [row.blocks[p // block_size] * block_size + p % block_size for p in range(part.start, stop)]
        flat = torch.tensor([tokens, positions, slots]).to(device)
        return cls(flat[0], flat[1], flat[2], chunks)

    def attention(self, pool: KVPool) -> PrefillAttention:
        return PrefillAttention(pool, self.slots, self.chunks)


@dataclass(slots=True)
class Batch:
    """One step: N tokens to run, B rows that draw (``rows``), of which the first G are guided.

    Attributes:
        tokens, positions: (N,) int64.
        attention: of the policy.
        last: (B,) int64, where among the N tokens each drawing row's newest one is; None if N = B in order.
        rows: state of the rows that draw, or None if none does (a chunk that ends before its prompt).
        planned: the prompt chunks, for values that read them.
        copies: (source, target) block numbers.
    """

    tokens: Tensor
    positions: Tensor
    attention: AttentionStep
    last: Tensor | None
    rows: RowTensors | None
    planned: list[PrefillChunk]
    copies: list[tuple[int, int]]


class Batcher:
    """Turns plans into batches, reusing the row tensors while the rows stay."""

    def __init__(self, pool: KVPool, vocab_size: int, device: torch.device) -> None:
        self._pool = pool
        self._hashes = token_hashes(vocab_size, device)
        self._device = device
        self._current: RowTensors | None = None

    def prepare(self, plan: Plan) -> Batch:
        if not plan.prefill:
            steady = self._rows(plan.decode, True)
            attention = steady.decode_attention(self._pool)
            return Batch(steady.last_token, steady.newest, attention, None, steady, [], [])
        drawing, last = _drawing(plan)
        rows = self._rows(drawing, len(drawing) == len(plan.decode)) if drawing else None
        prefill = PrefillBatch.build(plan.prefill, self._pool.block_size, self._device)
        where = torch.tensor(last, dtype=torch.int64).to(self._device)
        prompts = prefill.attention(self._pool)
        if not plan.decode:
            return Batch(prefill.tokens, prefill.positions, prompts, where, rows, plan.prefill, plan.copies)
        if rows is not None and rows.rows == plan.decode:
            decode = rows
        else:
            decode = RowTensors(plan.decode, self._pool, self._hashes)
        return Batch(
            torch.cat((decode.last_token, prefill.tokens)),
            torch.cat((decode.newest, prefill.positions)),
            MixedAttention(decode.decode_attention(self._pool), prompts),
            where,
            rows,
            plan.prefill,
            plan.copies,
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
