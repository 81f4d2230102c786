"""What companions say: log-ratios of the instructed policy to the policy itself, as values of their rows' candidates.

A row has as many of these columns as it brings objectives in words, beside those of the loaded values; rows that bring
fewer than others have zeros there. Every number is made row by row, column by column: it does not depend on how many
others there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mavis_core.schedule.row import Row


class CompanionTensors:
    """Of G guided rows that bring up to P objectives in words, with C companions.

    Args:
        rows: the guided ones; some bring an objective in words.
        beta: (G,) float32.

    Attributes:
        weights: (G, P) float32, lambda; 0 where a row has fewer objectives. ``pull`` is beta * weights.
        count: C, at least 0: an objective whose prompt is the row's own has none.
        leaders: (C,) int64, the row that each companion belongs to.
    """

    def __init__(self, rows: Sequence[Row], beta: Tensor) -> None:
        width = max(len(row.in_words) for row in rows)
        weights = [[weight for _, weight in row.in_words] + [0.0] * (width - len(row.in_words)) for row in rows]
        self.weights = torch.tensor(weights, dtype=torch.float32).to(beta.device)
        self.pull = self.weights * beta[:, None]
        pairs = [(i, companion.column) for i, row in enumerate(rows) for companion in row.companions]
        self.count = len(pairs)
        self.leaders, self._columns = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).to(beta.device).T

    def values(self, raw: Tensor, beside: Tensor, candidates: Tensor) -> Tensor:
        """V(s + a) = log pi(a | s with the instruction) - log pi(a | s), nats.

        Args:
            raw: (B, V) float32, the policy's own logits of the rows, the guided first.
            beside: (C, V) float32, those of the companions.
            candidates: (G, K) int64.

        Returns:
            (G, K, P) float32; 0 where a row has no companion.
        """
        found = torch.zeros((*candidates.shape, self.weights.shape[1]), dtype=torch.float32, device=raw.device)
        if self.count:
            of_leader = candidates[self.leaders]
            instructed = beside.log_softmax(dim=1).gather(1, of_leader)
            plain = raw[self.leaders].log_softmax(dim=1).gather(1, of_leader)
            found[self.leaders, :, self._columns] = instructed - plain
        return found


def add_columns(combined: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """combined (G, K) + sum_p values (G, K, P) weights (G, P), one column after the other, float32."""
    for column in range(values.shape[2]):
        combined = combined + values[:, :, column] * weights[:, column, None]
    return combined
