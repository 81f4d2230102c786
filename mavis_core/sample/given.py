"""Tokens that are given and not drawn: the rows that score an answer take them, and are told how likely they were.

Up to the draw such a row is like any other, so there is one way to score, whatever the kind of value. Its token may be
none of its candidates. It is put beside them, in a place of no probability, so that it has a value like them, and a
value with a cache reads it as if it had been drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from mavis_core.sample.candidates import Candidates
from mavis_core.sample.kl import LOGPROBS
from mavis_core.schedule.row import Row


class GivenTokens:
    """Of B rows, the first G guided, of which S score an answer.

    Attributes:
        scoring: the places of those S among the B.
    """

    def __init__(self, rows: Sequence[Row], guided: int, device: torch.device) -> None:
        self._rows, self._device = rows, device
        self.scoring = [i for i, row in enumerate(rows) if row.answer]
        self._guided = [i for i in self.scoring if i < guided]

    @property
    def tokens(self) -> Tensor:
        """What each row takes in this step, (B,) int64; -1 where it draws."""
        following = [row.answer[row.output_length] if row.answer else -1 for row in self._rows]
        return torch.tensor(following).to(self._device)

    def beside(self, candidates: Candidates) -> Candidates:
        """Candidates (G, K + 1): one place more, of no probability, for the given token (any token in other rows)."""
        if not self._guided:
            return candidates
        assert candidates.valid is not None, "RowTensors.full is false where a row scores"
        tokens = self.tokens[: candidates.ids.shape[0], None].clamp_min(0)
        return Candidates(
            torch.cat((candidates.ids, tokens), dim=1),
            pad(candidates.reference, (0, 1), value=-torch.inf),
            pad(candidates.valid, (0, 1), value=False),
        )

    def taken(self, candidates: Candidates, chosen: Tensor) -> Tensor:
        """Where each row's token is, (G,) int64: its own candidate, else the place beside them; ``chosen`` if drawn."""
        if not self._guided:
            return chosen
        assert candidates.valid is not None
        tokens = self.tokens[: chosen.shape[0]]
        found = (candidates.ids == tokens[:, None]) & candidates.valid
        place = torch.where(found.any(dim=1), found.int().argmax(dim=1), candidates.ids.shape[1] - 1)
        return torch.where(tokens >= 0, place, chosen)

    def without_logprobs(self, measured: Tensor) -> Tensor:
        """``measure_draws`` with 0 for what may be -inf here, and is told by ``logprobs``."""
        if self._guided:
            measured[self._guided, LOGPROBS] = 0.0
        return measured

    def logprobs(self, scaled: Tensor, surviving: Tensor, tilted: Tensor | None, chosen: Tensor | None) -> Tensor:
        """log p and log ref of the given tokens, (S, 2) float32; -inf where they cannot be drawn.

        Args:
            scaled, surviving: (B, V), see ``Logits``; ref is ``scaled``, and p is ``surviving`` where untilted.
            tilted: (G, K + 1) log p of the guided rows.
            chosen: (G,) of ``taken``.
        """
        tokens, rows = self.tokens[self.scoring, None], self.scoring
        reference = scaled[rows].log_softmax(dim=1).gather(1, tokens)
        own = surviving[rows].log_softmax(dim=1).gather(1, tokens)
        if self._guided:
            assert tilted is not None and chosen is not None
            steered = tilted.gather(1, chosen[:, None])[self._guided]
            own = torch.cat((steered, own[len(self._guided) :]))
        return torch.cat((own, reference), dim=1)
