"""The block tables of rows, each with its companions: found in the cache, grown, shared by a fork, published, let go.

Whether a row runs is the scheduler's business; here all its tracks get their blocks, or none. Torch-free.
"""

from __future__ import annotations

from mavis_core.schedule.blocks import BlockAllocator
from mavis_core.schedule.prefix_keys import extend_keys
from mavis_core.schedule.row import Row
from mavis_core.schedule.track import Track


class KVTables:
    """
    Args:
        caching: whether tracks share what they begin with.
    """

    def __init__(self, blocks: BlockAllocator, block_size: int, caching: bool) -> None:
        self._blocks = blocks
        self._block_size = block_size
        self._caching = caching

    def open(self, row: Row, most: int | None = None) -> list[int] | None:
        """Give a row all the blocks that it needs to draw its next token; the new ones, or None where they lack.

        What is in the cache counts as computed, of each track at least one token left out; also None where more than
        ``most`` tokens are left to compute.
        """
        cached = [self._cached(track, read=track is not row or not row.scores_prompt) for track in row.tracks]
        missing = [self._full(track) - len(found) for track, found in zip(row.tracks, cached, strict=True)]
        left = sum(len(track.tokens) for track in row.tracks) - sum(map(len, cached)) * self._block_size
        for found in cached:
            self._blocks.share(found)  # before the count of free ones: they may be among those
        if not self._blocks.can_allocate(sum(missing)) or (most is not None and left > most):
            for found in cached:
                self._blocks.release(found)
            return None
        fresh = self._blocks.allocate(sum(missing))
        given = iter(fresh)
        for track, found, count in zip(row.tracks, cached, missing, strict=True):
            track.blocks = found + [next(given) for _ in range(count)]
            track.computed, track.target = len(found) * self._block_size, len(track.tokens)
        return fresh

    def grow(self, row: Row) -> list[int] | None:
        """Give a row the blocks that its next token needs; the new ones, or None where they lack."""
        missing = [self._full(track) - len(track.blocks) for track in row.tracks]
        if not any(missing):
            return []
        if not self._blocks.can_allocate(sum(missing)):
            return None
        fresh = self._blocks.allocate(sum(missing))
        given = iter(fresh)
        for track, count in zip(row.tracks, missing, strict=True):
            track.blocks += [next(given) for _ in range(count)]
        return fresh

    def fork(self, parent: Row, child: Row) -> tuple[list[int], list[tuple[int, int]]] | None:
        """Give ``child`` the prompts of ``parent``: full blocks shared, the last one of each to be copied.

        Returns:
            The new blocks and the copies (source, target) to make, or None where blocks lack.
        """
        pairs = list(zip(parent.tracks, child.tracks, strict=True))
        own = [len(old.blocks) - old.target // self._block_size for old, _ in pairs]
        if not self._blocks.can_allocate(sum(own)):
            return None
        fresh = self._blocks.allocate(sum(own))
        given, copies = iter(fresh), []
        for (old, new), count in zip(pairs, own, strict=True):
            full = old.target // self._block_size
            self._blocks.share(old.blocks[:full])
            new.blocks = old.blocks[:full] + [next(given) for _ in range(count)]
            new.computed = new.target = old.target
            new.keys = list(old.keys)
            if old.target % self._block_size:
                copies.append((old.blocks[full], new.blocks[full]))
        return fresh, copies

    def publish(self, row: Row) -> None:
        """Let others find the blocks that ``row`` has filled in finished steps, once it has drawn from them.

        A number that is not finite shows only there, and within one part of a prompt it spoils what comes before it
        too: attention masks it by adding to it.
        """
        if not self._caching or row.prefilling:
            return
        for track in row.tracks:
            full = track.computed // self._block_size
            if full > track.published:
                extend_keys(track.keys, track.tokens, self._block_size, full)
                for block in range(track.published, full):
                    self._blocks.publish(track.blocks[block], track.keys[block + 1])
                track.published = full

    def unpublish(self, row: Row) -> None:
        """Let nobody find them any more."""
        for track in row.tracks:
            self._blocks.unpublish(track.blocks)

    def close(self, row: Row) -> None:
        """Take all blocks of a row; it can be opened again."""
        for track in row.tracks:
            self._blocks.release(track.blocks)
            track.blocks, track.computed, track.published = [], 0, 0

    def _full(self, track: Track) -> int:
        """Blocks for the tokens that there are and the one that will be drawn."""
        return -(-(len(track.tokens) + 1) // self._block_size)

    def _cached(self, track: Track, read: bool) -> list[int]:
        """The blocks of its longest cached prefix."""
        if not self._caching or not read:
            return []
        most = (len(track.tokens) - 1) // self._block_size
        extend_keys(track.keys, track.tokens, self._block_size, most)
        return self._blocks.find(track.keys[1 : most + 1])
