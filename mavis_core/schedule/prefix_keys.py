"""Keys of full KV blocks: equal keys mean equal tokens from the first on, read by the same values, under one salt.

A chain of digests, so that a block's key stands for everything before it. BLAKE2b, and not a fast hash, because a
collision would show one user's text to another user's model. Values with a cache read only the rows they guide, so
their pools hold nothing for the blocks of other rows: which of them read a row is part of its root.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Sequence

DIGEST_BYTES = 32


def prefix_root(readers: Sequence[str], salt: str | None) -> bytes:
    """The key before the first block: the values with a cache that read the row, and the request's salt."""
    return _digest(json.dumps([sorted(readers), salt]).encode())


def extend_keys(keys: list[bytes], tokens: Sequence[int], block_size: int, blocks: int) -> None:
    """Append the keys of further full blocks of ``tokens``, so that ``keys`` (the root first) covers ``blocks``."""
    for block in range(len(keys) - 1, blocks):
        own = array("q", tokens[block * block_size : (block + 1) * block_size])
        keys.append(_digest(keys[-1] + own.tobytes()))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
