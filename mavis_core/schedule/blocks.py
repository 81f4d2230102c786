"""Which rows hold which KV block, and which free blocks can still be shared; torch-free.

One block table per row serves the policy's pool and every value's pool, so fork, free, prefix sharing and admission are
decided here once. A full block may be published under a key that stands for its tokens and all before them
(``prefix_keys.py``). Published blocks outlive their holders: the next row that begins alike shares them, until their
memory is needed. Then the one that has gone unused longest is taken, a row's last blocks before its first, because
without the first the others cannot be found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class BlockAllocator:
    """Allocates blocks ``0 .. num_blocks - 1``. Block numbers without content are reused last-in first-out."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._empty = list(range(num_blocks - 1, -1, -1))
        self._idle: dict[int, None] = {}  # published and held by nobody, the longest unused first
        self._holders = [0] * num_blocks
        self._published: dict[bytes, int] = {}
        self._keys: dict[int, bytes] = {}

    @property
    def free(self) -> int:
        """How many blocks no row holds, published ones included."""
        return len(self._empty) + len(self._idle)

    def can_allocate(self, count: int) -> bool:
        return count <= self.free

    def allocate(self, count: int) -> list[int]:
        assert self.can_allocate(count), "callers ask can_allocate first"
        taken = [self._empty.pop() if self._empty else self._evict() for _ in range(count)]
        for block in taken:
            self._holders[block] = 1
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        """Hold blocks that other rows hold, or that are published."""
        for block in blocks:
            assert self._holders[block] > 0 or block in self._idle, "only a held or published block can be shared"
            self._idle.pop(block, None)
            self._holders[block] += 1

    def release(self, blocks: Sequence[int]) -> None:
        for block in reversed(blocks):
            self._holders[block] -= 1
            assert self._holders[block] >= 0, "a block was released twice"
            if self._holders[block] == 0:
                if block in self._keys:
                    self._idle[block] = None
                else:
                    self._empty.append(block)

    def publish(self, block: int, key: bytes) -> None:
        """Let ``block``, full and never written again, be found by ``key``; the first block under a key stays."""
        assert self._holders[block] > 0, "only a held block can be published"
        if key not in self._published and block not in self._keys:
            self._published[key] = block
            self._keys[block] = key

    def unpublish(self, blocks: Iterable[int]) -> None:
        """Let ``blocks`` be found no more: what they hold cannot be relied on."""
        for block in blocks:
            if (key := self._keys.pop(block, None)) is not None:
                del self._published[key]
            if block in self._idle:
                del self._idle[block]
                self._empty.append(block)

    def find(self, keys: Iterable[bytes]) -> list[int]:
        """The blocks published under ``keys``, up to the first that is not; ``share`` them before anything else."""
        found = []
        for key in keys:
            if (block := self._published.get(key)) is None:
                break
            found.append(block)
        return found

    def forget(self) -> None:
        """Unpublish everything: what the blocks hold cannot be relied on any more."""
        self._empty.extend(self._idle)
        self._idle, self._published, self._keys = {}, {}, {}

    def _evict(self) -> int:
        block = next(iter(self._idle))
        del self._idle[block]
        del self._published[self._keys.pop(block)]
        return block
