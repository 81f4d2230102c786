"""Seeds of requests, and the keys that rows draw their noise by; torch-free.

The n-th request that brings no seed gets one from the engine's seed and n, as from a generator that all draw from in
turn (vLLM's ``--seed``): they differ from one another, and an engine that starts again with the same seed gives the
same requests, in the same order, the same answers. Requests that bring a seed draw nothing and change nothing for the
others. Without a seed of its own an engine takes a random one.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from dataclasses import replace

from mavis_core.api.messages import Request


class Seeds:
    """
    Args:
        seed: any integer; None is a random one.
    """

    def __init__(self, seed: int | None) -> None:
        self._seed = secrets.randbits(64) if seed is None else seed
        self._given = 0

    def seeded(self, request: Request) -> Request:
        """``request``, with the next seed if it has none."""
        if request.sampling.seed is not None:
            return request
        seed = seed_of(f"{self._seed}/{self._given}")
        self._given += 1
        return replace(request, sampling=replace(request.sampling, seed=seed))


def seed_of(text: str) -> int:
    """A signed 64-bit seed that is a function of ``text`` alone, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def row_key(seed: int, choice: int) -> int:
    """The key of a row, a signed 64-bit integer."""
    digest = hashlib.blake2b(struct.pack("<qi", seed, choice), digest_size=8).digest()
    (key,) = struct.unpack("<q", digest)
    return int(key)
