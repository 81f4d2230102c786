"""Everything per row on the device, for the rows that draw in a step.

Rebuilt only when those rows change; a steady decode step only advances it (two in-place adds, one copy of the drawn
tokens that never leave the device, and the block numbers of rows that entered a new block). Guided rows come first, so
that everything guided is a prefix slice and costs unguided rows nothing. Companions come behind all rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mavis_core.api.guidance import Guidance
from mavis_core.model.kv_pool import KVPool
from mavis_core.sample.companions import CompanionTensors
from mavis_core.sample.filters import Filters
from mavis_core.sample.floors import FloorTensors
from mavis_core.sample.given import GivenTokens
from mavis_core.sample.logit_edits import LogitEdits
from mavis_core.sample.noise_ahead import NoiseAhead
from mavis_core.sample.track_tensors import TrackTensors
from mavis_core.schedule.row import Row
from mavis_core.schedule.row_fault import alone


def first(rows: Tensor, count: int) -> Tensor:
    """The first ``count`` rows; the tensor itself if that is all of them, which saves making a view."""
    return rows if count == rows.shape[0] else rows[:count]


def _ends(rows: Sequence[Row], device: torch.device) -> Tensor | None:
    """The tokens that end each row that is steered in words, (G, E) int64, -1 filling up; None if there are none."""
    ids = [list(row.stop_ids) if row.in_words else [] for row in rows]
    most = max(len(found) for found in ids)
    return torch.tensor([found + [-1] * (most - len(found)) for found in ids]).to(device) if most else None


class RowTensors:
    """Per-row state of the B rows that draw in a step, the first G of them guided.

    Attributes:
        tracks: the rows, then their companions in the same order, B + C of them; what the policy reads.
        last_token, length: (B,) int64; the newest token, and how many tokens there are with it.
        block_table: (B, P) int64, filled up with the pools' padding.
        companions: what they say, or None where no row brings an objective in words.
        noise: Gumbel noise at this position; 0 for greedy rows.
        temperature: (B,) float32, 1 for greedy rows.
        filters: top_k, top_p and min_p; None where no row has one on.
        k, beta, limit, minmax, weights: (G,), (G,), (G,), (G,) bool, (G, M), of the guided rows; ``tilt_weights`` is
            beta * weights, (G, M).
        named: (G, 1, M) bool, the objectives that each guided row names.
        floors: of the rows whose weights are found at each step, or None; their ``limit`` is inf, it is kept there.
        ranks: (G,) int64, which candidate by likelihood a ranked row takes, -1 for one that draws; None if all draw.
        given: tokens of the rows that score an answer; None where all draw.
        readers: by a value's first column, which guided rows it scores; kept by ``ValueSet``.
        ends: (G, E) int64, see ``find_candidates``; None where no row is steered in words.
        untilted: (R,) int64, guided rows of which the next token is not steered, found before each draw; None where
            all are steered. ``plain`` are the numbers of all rows that draw from the policy itself.
        width: K, the most candidates any guided row asks for; ``full`` says that all rows have that many.
    """

    def __init__(self, rows: Sequence[Row], pool: KVPool, hashes: Tensor) -> None:
        vocab_size, device = hashes.shape[0], hashes.device
        self.rows = list(rows)
        self.guided = sum(row.guided for row in rows)
        self.readers: dict[int, Tensor | None] = {}
        sampling = [row.request.sampling for row in rows]
        guidance = [row.request.guidance for row in rows[: self.guided]]
        self.tracks = TrackTensors([*rows, *(c for row in rows for c in row.companions)], pool, device)
        self.last_token = first(self.tracks.last_token, len(rows))
        self.length = first(self.tracks.length, len(rows))
        self.block_table = first(self.tracks.block_table, len(rows))
        temperatures = [(s.temperature or 1.0, float(s.temperature > 0)) for s in sampling]
        self.temperature, random = torch.tensor(temperatures, dtype=torch.float32).to(device).T.contiguous()
        self.scaled = any(s.temperature not in (0, 1) for s in sampling)
        self.filters = Filters.of(sampling, vocab_size, device)
        keys, positions = torch.tensor([(row.key, row.output_length) for row in rows]).to(device).T.contiguous()
        greedy = any(s.temperature == 0 for s in sampling)
        self.noise = NoiseAhead(keys, positions, hashes, random if greedy else None, self.guided)
        self.edits = LogitEdits(self.rows, vocab_size, device)
        self.given = GivenTokens(self.rows, self.guided, device) if any(row.answer for row in rows) else None
        self.width = max((g.top_k for g in guidance), default=0)
        self.full = self._full(guidance, vocab_size)
        self.k = torch.tensor([g.top_k for g in guidance], dtype=torch.int64).to(device)
        self.beta = torch.tensor([row.beta for row in rows[: self.guided]], dtype=torch.float32).to(device)
        limits = [torch.inf if g.max_kl_per_token is None or g.solved else g.max_kl_per_token for g in guidance]
        self.limited = min(limits, default=torch.inf) < torch.inf
        self.floors = FloorTensors(rows[: self.guided], self.beta) if any(g.solved for g in guidance) else None
        self.limit = torch.tensor(limits, dtype=torch.float32).to(device)
        self.normalised = any(g.normalise == "minmax" for g in guidance)
        self.minmax = torch.tensor([g.normalise == "minmax" for g in guidance], dtype=torch.bool).to(device)
        self.weights = torch.tensor([row.weights for row in rows[: self.guided]], dtype=torch.float32).to(device)
        named = [[column in row.named for column in range(len(row.weights))] for row in rows[: self.guided]]
        self.named = torch.tensor(named, dtype=torch.bool)[:, None].to(device)
        self.tilt_weights = self.weights * self.beta[:, None] if self.guided else self.weights
        in_words = any(row.in_words for row in rows[: self.guided])
        self.companions = CompanionTensors(rows[: self.guided], self.beta) if in_words else None
        self.ends = _ends(rows[: self.guided], device) if in_words else None
        ranks = [row.index if row.request.sampling.ranked else -1 for row in rows[: self.guided]]
        self.ranks = torch.tensor(ranks).to(device) if any(rank >= 0 for rank in ranks) else None
        self._scoped = [(i, row) for i, row in enumerate(rows) if row.scoped]
        self.untilted: Tensor | None = None
        self.plain = list(range(self.guided, len(rows)))

    def find_untilted(self) -> None:
        """Find out which rows are steered at the next draw; costs nothing where it can be said once for all."""
        if not self._scoped:
            return
        for _, row in self._scoped:
            with alone(row, "on the way to what is steered"):
                row.steers = row.in_scope()
        found = [i for i, row in self._scoped if not row.steers]
        self.untilted = torch.tensor(found).to(self.length.device) if found else None
        self.plain = found + list(range(self.guided, len(self.rows)))

    def _full(self, guidance: Sequence[Guidance], vocab_size: int) -> bool:
        """Whether every guided row surely has ``width`` candidates, whatever tokens are banned."""
        if any(row.matcher is not None or row.answer for row in self.rows[: self.guided]):
            return False
        banned = max((len(row.stop_ids) for row in self.rows), default=0)
        alike = self.filters is None and all(g.top_k == self.width for g in guidance)
        return alike and self.width + banned <= vocab_size

    @property
    def max_length(self) -> int:
        return max(len(row.tokens) for row in self.rows)

    def follows(self, rows: Sequence[Row]) -> bool:
        """Whether ``rows`` are these rows and every block table still fits."""
        return self.rows == list(rows) and self.tracks.fit

    def advance(self, drawn: Tensor) -> None:
        """Append the drawn tokens (B,) int64, to companions those of their rows: the state of the next step."""
        if self.companions is None:
            self.tracks.advance(drawn)
        else:
            self.tracks.advance(torch.cat((drawn, drawn[self.companions.leaders])))
        self.noise.advance()
        self.edits.advance(drawn)
