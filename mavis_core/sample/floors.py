"""Floors, worst case and what is maximised, of the rows that have any: what ``multipliers.py`` is asked each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mavis_core.sample.candidates import Candidates
from mavis_core.sample.multipliers import Problem, Solution, solve
from mavis_core.schedule.row import Row


class FoundWeights(NamedTuple):
    """What was found for one row at one step, on the host; ``pull`` and ``missed`` in the order of its aims, then 0s.

    Attributes:
        share: gamma, what the KL budget leaves of the given weights, 0 to 1.
        pull: what each aim adds to its objective's beta * lambda, nats per unit.
        missed: 1 where a floor was not met.
    """

    share: float
    pull: list[float]
    missed: list[float]

    @classmethod
    def read(cls, packed: Sequence[float]) -> FoundWeights:
        """Of one row of ``pack``."""
        count = (len(packed) - 1) // 2
        return cls(packed[0], list(packed[1 : 1 + count]), list(packed[1 + count :]))


def pack(solution: Solution) -> Tensor:
    """(N, 1 + 2 F) float32: share, pull, missed."""
    return torch.cat((solution.share[:, None], solution.pull, solution.missed), dim=1).float()


class FloorTensors:
    """Of the N among G guided rows whose weights are found at each step, with at most F aims each.

    Args:
        rows: the guided ones.
        beta: (G,) float32.

    Attributes:
        rows: their indices; ``index`` has them as (N,) int64 on the device.
        columns: (N, F) int64, of the aims' values among the M + P columns.
        scaled: whether any row has aims, a KL budget and, beside floors, something that the budget scales.
    """

    def __init__(self, rows: Sequence[Row], beta: Tensor) -> None:
        device = beta.device
        self.rows = [i for i, row in enumerate(rows) if row.request.guidance.solved]
        mine = [rows[i] for i in self.rows]
        width = max(1, *(len(row.aims) for row in mine))
        self.index = torch.tensor(self.rows).to(device)

        def of_aims(numbers: list[list[float]]) -> Tensor:
            return torch.tensor([one + [0.0] * (width - len(one)) for one in numbers], dtype=torch.float64).to(device)

        columns = [[float(a.column + a.in_words * len(row.weights)) for a in row.aims] for row in mine]
        self.columns = of_aims(columns).long()
        self._used = of_aims([[1.0] * len(row.aims) for row in mine])
        self._most = of_aims([[aim.most for aim in row.aims] for row in mine])
        self._floors = of_aims([[aim.floor or 0.0 for aim in row.aims] for row in mine])
        self._floored = of_aims([[float(aim.floor is not None) for aim in row.aims] for row in mine]).bool()
        self._shared = self._used.bool() & ~self._floored
        worst = [row.beta if row.request.guidance.worst_case else 0.0 for row in mine]
        limits = [row.request.guidance.max_kl_per_token for row in mine]
        self._strength = torch.tensor(worst, dtype=torch.float64).to(device)
        bounds = [torch.inf if limit is None else limit for limit in limits]
        self._limit = torch.tensor(bounds, dtype=torch.float64).to(device)
        relative = [float(row.request.guidance.floors_relative) for row in mine]
        self._relative = torch.tensor(relative, dtype=torch.float64).to(device)
        self.scaled = any(
            row.aims and limit is not None and (strength > 0 or any(row.weights) or any(w for _, w in row.in_words))
            for row, limit, strength in zip(mine, limits, worst, strict=True)
        )

    def solve(self, candidates: Candidates, tilt: Tensor, values: Tensor) -> Solution:
        """
        Args:
            tilt: (G, K) float32, of the given weights, nats; 0 where not valid.
            values: (G, K, M + P) float32.
        """
        reference = candidates.reference[self.index].double()
        wanted = self.columns[:, None].expand(-1, values.shape[1], -1)
        mine = values[self.index].gather(2, wanted).transpose(1, 2).double() * self._used[:, :, None]
        if candidates.valid is not None:
            mine = mine.masked_fill(~candidates.valid[self.index][:, None], 0.0)
        mine = mine.contiguous()  # sums over candidates then go in the same order however many aims there are
        start = (reference.softmax(dim=1)[:, None] * mine).sum(dim=2)
        floors = torch.where(self._floored, self._floors + self._relative[:, None] * start, -torch.inf)
        problem = Problem(
            reference,
            tilt[self.index].double(),
            mine,
            floors,
            self._most,
            self._shared,
            self._strength,
            self._limit,
        )
        return solve(problem, self.scaled)
