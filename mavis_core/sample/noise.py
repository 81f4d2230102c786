"""Counter-based Gumbel noise: every draw is a pure function of (seed, choice index, position, token id).

A row's draw then depends on nothing else - not on its neighbours, its place in the batch, the batch's size or
a generator's state - so no state lives on the device, a preempted row continues where it was, and a weight
moved a little changes the text a little (the noise stays, only the scores move).

The hash multiplies a token's 64-bit hash by the odd 64-bit key of (row, position), folds the high half into the
low one, multiplies again and takes the top 31 bits. Keys and token hashes come from SplitMix64, once; what is left
per draw is few, cheap operations. int64 arithmetic wraps on every device that torch has, which makes the integers
of CPU and GPU agree bit for bit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mavis_core.schedule.seeds import row_key

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MULTIPLIER = 0xD6E8FEB86659FD93
_SCALE = 2.0**-31 * (1 - 2.0**-24)  # so that u stays below 1 in float32
_HALF = 2.0**-32
AT_ONCE = 1 << 16
"""Numbers that are made at a time on a CPU, so that the dozen operations on them stay in a core's cache: 32 x 49,152 at
once took 26 ms, row by row 10."""


def _signed(x: int) -> int:
    x &= _MASK
    return x - (1 << 64) if x >> 63 else x


def _splitmix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64 of any shape; shifts are made logical by a mask."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _signed(_MIX_1)
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _signed(_MIX_2)
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def token_hashes(vocab_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Hash of every token id, computed once: (V,) int64."""
    ids = torch.arange(1, vocab_size + 1, dtype=torch.int64, device=device)
    return _splitmix(ids * _signed(_GOLDEN))


def position_keys(keys: Tensor, positions: Tensor) -> Tensor:
    """Row keys (B,) int64 at output positions (B, P) int64 -> odd keys (B, P) int64."""
    return _splitmix(keys[:, None] + (positions + 1) * _signed(_GOLDEN)) | 1


def gumbel(keys: Tensor, hashes: Tensor) -> Tensor:
    """Standard Gumbel noise.

    Args:
        keys: (B, 1) int64, one column of ``position_keys``.
        hashes: (V,) or (B, K) int64, ``token_hashes`` of the tokens that compete.

    Returns:
        (B, V) or (B, K) float32, -log(-log(1 - u)) with u = (x + 1/2) / 2^31 and x the hash's top 31 bits; finite,
        between -2.9 and 22.2, resolved finely where the noise is large (that end decides the draw).
    """
    rows, width = keys.shape[0], hashes.shape[-1]
    if keys.device.type != "cpu" or keys.dim() != 2 or hashes.dim() != 1 or rows * width <= AT_ONCE:
        return _gumbel(keys, hashes)
    found = torch.empty(rows, width)
    count = max(1, AT_ONCE // width)
    for start in range(0, rows, count):
        found[start : start + count] = _gumbel(keys[start : start + count], hashes)
    return found


def _gumbel(keys: Tensor, hashes: Tensor) -> Tensor:
    x = hashes * keys
    x ^= x >> 32
    x *= _signed(_MULTIPLIER)
    top = (x >> 33).bitwise_and_(0x7FFFFFFF)
    return top.to(torch.float32).mul_(-_SCALE).sub_(_HALF).log1p_().neg_().log_().neg_()


def gumbel_reference(seed: int, choice: int, position: int, token: int) -> float:
    """One draw in plain integers and doubles; what ``gumbel`` must equal to float32 rounding."""

    def splitmix(x: int) -> int:
        x &= _MASK
        x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
        x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
        return x ^ (x >> 31)

    key = splitmix(row_key(seed, choice) + (position + 1) * _GOLDEN) | 1
    x = _signed(splitmix((token + 1) * _GOLDEN) * key)
    x = _signed((x ^ (x >> 32)) * _MULTIPLIER)
    u = ((x >> 33) & 0x7FFFFFFF) * _SCALE + _HALF
    return -math.log(-math.log1p(-u))
