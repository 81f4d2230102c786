"""The grammar's mask on the device: -inf on every token that a row's structure forbids.

The structure begins behind the reasoning. Where an answer may still begin to reason, it may write what the structure
allows or the token that begins reasoning. A model whose vocabulary has no such token, and whose prompt does not begin
it, reasons only where the structure takes that for text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mavis_core.schedule.row import Row, RowFault
from mavis_core.schedule.row_fault import alone


class GrammarMask:
    """Masks of those of B rows that have a matcher.

    Per step, for S such rows: S masks on the host (``matcher.py``) and one copy of S * V / 8 bytes to the device.
    """

    def __init__(self, rows: Sequence[Row], vocab_size: int, device: torch.device) -> None:
        self._rows = [row for row in rows if row.matcher is not None]
        places = [i for i, row in enumerate(rows) if row.matcher is not None]
        self._places = None if len(places) == len(rows) else torch.tensor(places).to(device)
        self._shifts = torch.arange(8, dtype=torch.uint8).to(device)
        self._vocab_size = vocab_size

    def apply(self, logits: Tensor) -> Tensor:
        """logits (B, V) -> a copy with -inf where not allowed; each of its rows keeps at least one token."""
        packed = b"".join(map(self._allowed, self._rows))
        bits = torch.frombuffer(bytearray(packed), dtype=torch.uint8).view(len(self._rows), -1, 1).to(logits.device)
        forbidden = ((bits >> self._shifts) & 1).flatten(1)[:, : self._vocab_size] == 0
        if self._places is None:
            return logits.masked_fill(forbidden, -torch.inf)
        return logits.index_copy(0, self._places, logits[self._places].masked_fill(forbidden, -torch.inf))

    def _allowed(self, row: Row) -> bytes | bytearray:
        """The row's mask, 4 bytes for every 32 tokens or part of them; all of it where the row has a fault."""
        assert row.matcher is not None
        with alone(row, "in its grammar"):
            if row.reasons:
                return _without(self._everything(), row.stop_ids)
            bits = row.matcher.allowed(row.stop_ids, row.banned)
            if row.matcher.error is None:
                return _with_opening(bits, row)
            row.fault = RowFault(row.matcher.error, "structure")
        return self._everything()

    def _everything(self) -> bytearray:
        return bytearray(b"\xff") * (-(-self._vocab_size // 32) * 4)


def _without(bits: bytearray, tokens: Iterable[int]) -> bytearray:
    for token in tokens:
        bits[token >> 3] &= ~(1 << (token & 7))
    return bits


def _with_opening(bits: bytearray, row: Row) -> bytearray:
    reasoning = row.reasoning
    if reasoning is not None and reasoning.place == "before" and reasoning.opening is not None:
        bits[reasoning.opening >> 3] |= 1 << (reasoning.opening & 7)
    return bits
