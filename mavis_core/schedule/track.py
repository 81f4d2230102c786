"""A text on its way through the policy: its tokens, how many of them are computed, the blocks that hold their KV.

A row is one, and so is each of its companions; the scheduler moves all tracks of a row as one. Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False, kw_only=True)
class Track:
    """
    Attributes:
        tokens: prompt, then output.
        keys: of its full blocks, the root first (``prefix_keys.py``); set by admission, extended with the blocks.
        computed: tokens whose KV is in the pools; set by the scheduler.
        blocks: block table; set by the scheduler.
        target: tokens to prefill before the next draw; set by the scheduler at admission.
        published: how many of its blocks others can find; set by the scheduler.
        fed: tokens that were computed for it in all, those of a second prefill too.
    """

    tokens: list[int]
    keys: list[bytes]
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    target: int = 0
    published: int = 0
    fed: int = 0

    @property
    def prefilling(self) -> bool:
        return self.computed < self.target

    def feed(self, count: int) -> None:
        """The next ``count`` tokens are computed in this step."""
        self.computed += count
        self.fed += count


@dataclass(slots=True, eq=False, kw_only=True)
class Companion(Track):
    """The same answer after another prompt: how the policy would go on if it had the instruction of an objective.

    It draws nothing. It is fed what its row draws, in the same step, so that both always stand before the same token.

    Attributes:
        column: of its objective among those that the row has in words.
    """

    column: int
