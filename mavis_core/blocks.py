"""Who holds which KV block: reference counts over block numbers, nothing else; torch-free.

One block table per row serves the policy's pool and every value's pool, so fork, free and admission are
decided here once. Blocks are shared by forked rows and freed with their last holder.
"""

from __future__ import annotations

from collections.abc import Iterable


class BlockAllocator:
    """Allocates blocks ``0 .. num_blocks - 1``. Block numbers are reused last-in first-out."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._free = list(range(num_blocks - 1, -1, -1))
        self._holders = [0] * num_blocks

    @property
    def free(self) -> int:
        return len(self._free)

    def can_allocate(self, count: int) -> bool:
        return count <= len(self._free)

    def allocate(self, count: int) -> list[int]:
        assert self.can_allocate(count), "callers ask can_allocate first"
        taken = [self._free.pop() for _ in range(count)]
        for block in taken:
            self._holders[block] = 1
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            assert self._holders[block] > 0, "only a held block can be shared"
            self._holders[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            self._holders[block] -= 1
            assert self._holders[block] >= 0, "a block was released twice"
            if self._holders[block] == 0:
                self._free.append(block)
