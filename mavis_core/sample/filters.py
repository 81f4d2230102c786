"""top_k, top_p and min_p over the full vocabulary, in vLLM's order: min_p, then top_k, then top_p.

Each keeps the first tokens of a row in order of probability, so together they come down to a number of tokens. min_p
alone needs no order, top_k that of its first k; how far top_p reaches shows only on the way. On a CPU, where to look
costs no wait, the order is made for ever more tokens until every row has enough: to sort the whole vocabulary takes
half as long as the forward of 32 rows (49,152 tokens). Elsewhere the whole is sorted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mavis_core.api.sampling_params import SamplingParams

FIRST, FURTHER = 256, 8  # as many tokens are put in order for top_p at first; by so much more each time


class Filters:
    """What B rows ask for, over a vocabulary of V.

    Attributes:
        top_k: (B,) int64, V where off.
        top_p: (B,) float32 in (0, 1], 1 is off.
        min_p: (B,) float32 in [0, 1], 0 is off.
    """

    def __init__(self, sampling: Sequence[SamplingParams], vocab_size: int, device: torch.device) -> None:
        ranks = [min(s.top_k, vocab_size) if s.top_k > 0 else vocab_size for s in sampling]
        self.top_k = torch.tensor(ranks).to(device)
        floats = torch.tensor([(s.top_p, s.min_p) for s in sampling], dtype=torch.float32).to(device)
        self.top_p, self.min_p = floats.T.contiguous()
        self._cut = ((self.top_k < vocab_size) | (self.top_p < 1))[:, None]
        self._by_mass = any(s.top_k <= 0 and s.top_p < 1 for s in sampling)
        reach = FIRST if device.type == "cpu" else vocab_size
        self._width = min(vocab_size, max(reach if self._by_mass else 0, *(s.top_k for s in sampling)))

    @classmethod
    def of(cls, sampling: Sequence[SamplingParams], vocab_size: int, device: torch.device) -> Filters | None:
        """None where no row asks for any."""
        asked = any(s.top_k > 0 or s.top_p < 1 or s.min_p > 0 for s in sampling)
        return cls(sampling, vocab_size, device) if asked else None

    def apply(self, scaled: Tensor) -> Tensor:
        """``scaled`` with -inf at the tokens that the filters remove.

        top_p counts the mass renormalised after the earlier filters, and the token that crosses it is kept. The most
        likely token always survives; of equally likely ones the lower ids do.

        Args:
            scaled: (B, V) float32, ell / T.
        """
        highest = scaled.amax(dim=1, keepdim=True)
        floor = highest + self.min_p.log()[:, None]
        if self._width <= 0:
            return scaled.masked_fill(scaled < floor, -torch.inf)
        count, ordered = self._count(scaled, highest, floor)
        least = ordered.gather(1, count - 1)
        above, equal = scaled > least, scaled == least
        room = count - above.sum(dim=1, keepdim=True)
        keep = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
        return scaled.masked_fill(~torch.where(self._cut, keep, scaled >= floor), -torch.inf)

    def _count(self, scaled: Tensor, highest: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
        """How many tokens of each row survive, (B, 1), at least 1, and its first logits in order, at least as many.

        What is said of rows without top_k and top_p has no meaning.
        """
        vocab_size, top_k, top_p = scaled.shape[1], self.top_k[:, None], self.top_p[:, None]
        everything = None
        if self._by_mass:
            everything = (scaled - highest).exp().masked_fill(scaled < floor, 0.0).sum(dim=1, keepdim=True)
        width = self._width
        while True:
            ordered = scaled.topk(width, dim=1).values
            kept = (torch.arange(width, device=scaled.device) < top_k) & (ordered >= floor)
            shares = (ordered - highest).exp() * kept
            until = shares.cumsum(dim=1)
            total = until.gather(1, top_k.clamp_max(width) - 1)
            if everything is not None:
                total = torch.where(top_k < vocab_size, total, everything)
            enough = torch.where(top_p < 1, top_p * total, torch.inf)
            if self._reached(until[:, -1:] >= enough, width, vocab_size):
                return (kept & (until - shares < enough)).sum(dim=1, keepdim=True).clamp_min(1), ordered
            width = min(FURTHER * width, vocab_size)

    def _reached(self, enough: Tensor, width: int, vocab_size: int) -> bool:
        """Whether every row's tokens are among the first ``width``; looked at on a CPU only."""
        if width == vocab_size or self.top_k.device.type != "cpu":
            return True
        return bool((enough | (self.top_k[:, None] <= width) | ~self._cut).all())
