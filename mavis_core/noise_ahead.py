"""Gumbel noise of the rows of a batch, several positions at once where the vocabulary is small.

Noise is a function of (row, position, token) alone, so it can be made before it is needed. Per draw it is a dozen
kernels on few numbers, and on a CPU the kernels cost more than the numbers: for 1 row and 4,096 tokens one call
makes 16 positions. Where B * V exceeds half the budget there is nothing to gain, and guided rows then make noise
for their K candidates only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mavis_core.noise import gumbel, position_keys

KEYS_AHEAD = 64
BUDGET = 1 << 16  # numbers that are made at once, 256 KiB


class NoiseAhead:
    """Noise of B rows over a vocabulary of V, position after position.

    Args:
        keys: (B,) int64 row keys.
        positions: (B,) int64 output position of each row's next draw.
        hashes: (V,) int64, ``token_hashes``.
        scale: (B,) float32, 1, or 0 for greedy rows; None where no row is greedy.
    """

    def __init__(self, keys: Tensor, positions: Tensor, hashes: Tensor, scale: Tensor | None) -> None:
        self._row_keys = keys
        self._positions = positions
        self._hashes = hashes
        self._scale = None if scale is None else scale[:, None]
        fits = BUDGET // (keys.shape[0] * hashes.shape[0])
        self._ahead = min(1 << fits.bit_length() - 1, KEYS_AHEAD) if fits > 1 else 0
        self._step = 0
        self._keys_until = self._noise_until = 0

    def advance(self) -> None:
        """To the next position."""
        self._step += 1

    def over_vocabulary(self, start: int) -> Tensor:
        """Of the rows from ``start`` on, (B - start, V) float32."""
        if self._ahead:
            return self._made()[start:]
        noise = gumbel(self._key()[start:], self._hashes)
        return noise if self._scale is None else noise * self._scale[start:]

    def of_candidates(self, ids: Tensor) -> Tensor:
        """Of the candidates of the first G rows: ids (G, K) int64 -> (G, K) float32."""
        guided = ids.shape[0]
        if self._ahead:
            return self._made()[:guided].gather(1, ids)
        noise = gumbel(self._key()[:guided], self._hashes[ids])
        return noise if self._scale is None else noise * self._scale[:guided]

    def _key(self) -> Tensor:
        """(B, 1) int64 keys of this position."""
        if self._step == self._keys_until:
            ahead = torch.arange(self._step, self._step + KEYS_AHEAD, device=self._row_keys.device)
            self._keys = position_keys(self._row_keys, self._positions[:, None] + ahead)
            self._keys_until += KEYS_AHEAD
        at = self._step % KEYS_AHEAD
        return self._keys[:, at : at + 1]

    def _made(self) -> Tensor:
        """(B, V) of this position, out of the last A positions that were made."""
        if self._step == self._noise_until:
            ahead = torch.arange(self._step, self._step + self._ahead, device=self._row_keys.device)
            keys = position_keys(self._row_keys, self._positions[:, None] + ahead)
            noise = gumbel(keys.T[:, :, None], self._hashes)
            self._noise = noise if self._scale is None else noise.mul_(self._scale)
            self._noise_until += self._ahead
        return self._noise[self._step % self._ahead]
