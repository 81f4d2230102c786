"""How much fits into an engine: context, places of the batch, KV blocks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """
    Attributes:
        max_model_len: most tokens of a text.
        max_num_seqs: texts that run together.
        kv_blocks: of ``block_size`` tokens each; ``max_model_len`` tokens fit in them.
    """

    max_model_len: int
    max_num_seqs: int
    kv_blocks: int
    block_size: int

    def answer(self, prompts: Sequence[int]) -> int:
        """The most tokens of an answer that follows prompts of these lengths in parallel; below 1 it does not fit."""
        context = self.max_model_len - max(prompts)
        if len(prompts) == 1 or context < 1:
            return context

        def needed(answer: int) -> int:
            return sum(-(-(prompt + answer) // self.block_size) for prompt in prompts)

        return bisect_right(range(context + 1), self.kv_blocks, key=needed) - 1
