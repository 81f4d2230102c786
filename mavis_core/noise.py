"""Counter-based Gumbel noise: every draw is a pure function of (seed, choice index, position, token id).

A row's draw then depends on nothing else - not on its neighbours, its place in the batch, the batch's size or
a generator's state - so no state lives on the device, a preempted row continues where it was, and a weight
moved a little changes the text a little (the noise stays, only the scores move).

The hash is Murmur3's 32-bit finaliser over a token hash mixed with a 64-bit row key; int32 arithmetic wraps
on every device that torch has, which makes CPU and GPU agree bit for bit.
"""

from __future__ import annotations

import hashlib
import math
import struct
from functools import lru_cache

import torch
from torch import Tensor

_C1, _C2 = 0x85EBCA6B, 0xC2B2AE35
_POSITION_1, _POSITION_2 = 0x9E3779B9, 0x7FEB352D
_MASK = 0xFFFFFFFF


def _signed(x: int) -> int:
    x &= _MASK
    return x - (1 << 32) if x >> 31 else x


def row_key(seed: int, choice: int) -> tuple[int, int]:
    """The 64-bit key of a row as two signed 32-bit integers."""
    digest = hashlib.blake2b(struct.pack("<qi", seed, choice), digest_size=8).digest()
    first, second = struct.unpack("<ii", digest)
    return first, second


def _mix(x: Tensor) -> Tensor:
    """Murmur3's finaliser, in place on int32 (any shape)."""
    x ^= (x >> 16) & 0xFFFF
    x *= _signed(_C1)
    x ^= (x >> 13) & 0x7FFFF
    x *= _signed(_C2)
    x ^= (x >> 16) & 0xFFFF
    return x


def token_hashes(vocab_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Hash of every token id, computed once: (V,) int32."""
    ids = torch.arange(vocab_size, dtype=torch.int32, device=device)
    return _mix((ids + 1) * _signed(0x9E3779B1))


@lru_cache
def _position_constants(device: torch.device) -> tuple[Tensor, Tensor]:
    steps = torch.tensor((_signed(_POSITION_1), _signed(_POSITION_2)), dtype=torch.int32, device=device)
    return steps, torch.tensor((0, 1), dtype=torch.int32, device=device)


def position_keys(keys: Tensor, positions: Tensor) -> Tensor:
    """Row keys (B, 2) int32 at output positions (B,) -> (B, 2) int32; the second is odd."""
    steps, odd = _position_constants(keys.device)
    return (keys + positions.to(torch.int32)[:, None] * steps) | odd


def gumbel(keys: Tensor, hashes: Tensor) -> Tensor:
    """Standard Gumbel noise.

    Args:
        keys: (B, 2) int32 from ``position_keys``.
        hashes: (V,) or (B, K) int32, ``token_hashes`` of the tokens that compete.

    Returns:
        (B, V) or (B, K) float32, -log(-log(1 - u)) with u = (x + 1/2) / 2^32 and x the hash; finite, between
        -3.2 and 22.9, resolved finely where the noise is large (that end decides the draw).
    """
    x = _mix((hashes ^ keys[:, :1]) * keys[:, 1:])
    u = x.to(torch.float32).add_(2147483648.5).mul_(2.0**-32).clamp_(2.0**-33, 1 - 2.0**-24)
    return u.neg_().log1p_().neg_().log_().neg_()


def gumbel_reference(seed: int, choice: int, position: int, token: int) -> float:
    """One draw in plain integers and doubles; what ``gumbel`` must equal to float32 rounding."""

    def mix(x: int) -> int:
        x ^= x >> 16
        x = (x * _C1) & _MASK
        x ^= x >> 13
        x = (x * _C2) & _MASK
        return x ^ (x >> 16)

    first, second = (part & _MASK for part in row_key(seed, choice))
    first = (first + position * _POSITION_1) & _MASK
    second = ((second + position * _POSITION_2) & _MASK) | 1
    token_hash = mix((token + 1) * 0x9E3779B1 & _MASK)
    x = mix(((token_hash ^ first) * second) & _MASK)
    signed = x - (1 << 32) if x >> 31 else x
    u = min(max((signed + 2147483648.5) * 2.0**-32, 2.0**-33), 1 - 2.0**-24)
    return -math.log(-math.log1p(-u))
