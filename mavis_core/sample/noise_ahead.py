"""Gumbel noise for the rows of a batch, made for several positions at once where the vocabulary is small.

Noise is a function of (row, position, token) alone, so it can be made before it is needed. Per draw it is a dozen
kernels on few numbers, and on a CPU the kernels cost more than the numbers: for 1 row and 4,096 tokens one call makes
16 positions. Where B * V exceeds half the budget there is nothing to gain. Guided rows need noise for their K
candidates only; gathering it from noise for the whole vocabulary pays for a row or two (17 against 52 us for one row,
138 against 57 for eight, 4,096 tokens, on two AVX2 cores).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mavis_core.sample.noise import gumbel, position_keys

KEYS_AHEAD = 64
BUDGET = 1 << 16  # numbers that are made at once, 256 KiB
WORTH_GATHERING = 8  # positions at once, from which on candidates' noise is gathered from the whole vocabulary's


class NoiseAhead:
    """Noise of B rows over a vocabulary of V, position after position.

    Args:
        keys: (B,) int64 row keys.
        positions: (B,) int64 output position of each row's next draw.
        hashes: (V,) int64, ``token_hashes``.
        scale: (B,) float32, 1, or 0 for greedy rows; None where no row is greedy.
        guided: G, how many rows, the first ones, draw among candidates.
    """

    def __init__(self, keys: Tensor, positions: Tensor, hashes: Tensor, scale: Tensor | None, guided: int) -> None:
        self._row_keys = keys
        self._positions = positions
        self._hashes = hashes
        self._scale = None if scale is None else scale[:, None]
        fits = BUDGET // (keys.shape[0] * hashes.shape[0])
        self._ahead = min(1 << fits.bit_length() - 1, KEYS_AHEAD) if fits > 1 else 0
        self._gathers = self._ahead >= WORTH_GATHERING
        self._guided = guided
        self._first = 0 if self._gathers else guided  # the first row that has noise for its whole vocabulary
        self._step = 0
        self._keys_until = self._noise_until = 0

    def advance(self) -> None:
        """Move on to the next position."""
        self._step += 1

    def over_vocabulary(self) -> Tensor:
        """Noise of the unguided rows, (B - G, V) float32."""
        if self._ahead:
            return self._made()[self._guided - self._first :]
        return self._scaled(gumbel(self._key()[self._guided :], self._hashes), slice(self._guided, None))

    def of_rows(self, rows: Tensor) -> Tensor:
        """Noise of some rows, guided or not, over the vocabulary: rows (R,) int64 -> (R, V) float32."""
        if self._gathers:
            return self._made()[rows]
        return self._scaled(gumbel(self._key()[rows], self._hashes), rows)

    def of_candidates(self, ids: Tensor) -> Tensor:
        """Noise of the guided rows' candidates: ids (G, K) int64 -> (G, K) float32."""
        if self._gathers:
            return self._made()[: self._guided].gather(1, ids)
        return self._scaled(gumbel(self._key()[: self._guided], self._hashes[ids]), slice(self._guided))

    def _key(self) -> Tensor:
        """(B, 1) int64 keys of this position."""
        if self._step >= self._keys_until:
            self._keys_until = self._step + KEYS_AHEAD
            self._keys = self._keys_of(slice(None), KEYS_AHEAD)
        at = self._step - self._keys_until + KEYS_AHEAD
        return self._keys[:, at : at + 1]

    def _made(self) -> Tensor:
        """Noise of this position over the vocabulary, (B or B - G, V), made for A positions at a time."""
        if self._step >= self._noise_until:
            self._noise_until = self._step + self._ahead
            rows = slice(self._first, None)
            keys = self._keys_of(rows, self._ahead)
            self._noise = self._scaled(gumbel(keys.T[:, :, None], self._hashes), rows)
        return self._noise[self._step - self._noise_until + self._ahead]

    def _keys_of(self, rows: slice, count: int) -> Tensor:
        """Keys of ``count`` positions from this one on, (B', count) int64."""
        ahead = torch.arange(self._step, self._step + count, device=self._row_keys.device)
        return position_keys(self._row_keys[rows], self._positions[rows, None] + ahead)

    def _scaled(self, noise: Tensor, rows: slice | Tensor) -> Tensor:
        return noise if self._scale is None else noise * self._scale[rows]
