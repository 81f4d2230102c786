"""What is held of rows from step to step is what gathering their blocks would give, at each step anew."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mavis_core.model import held_kv
from mavis_core.model.attention import DecodeAttention
from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.backends import sdpa
from mavis_core.model.held_kv import SLACK, HeldKV
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.model.span import length_mask

BLOCK, ROWS, HEADS, DIM = 4, 3, 2, 8
COLUMNS = 12


class Rows:
    """Three rows of different lengths whose blocks lie all over a pool of two layers."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.pool = KVPool(CacheSpec(2, HEADS, DIM), ROWS * COLUMNS, BLOCK, torch.float32, torch.device("cpu"))
        self.pool.data[:, :-1].normal_()
        self.table = torch.randperm(ROWS * COLUMNS).view(ROWS, COLUMNS)
        self.length = torch.tensor([5, 9, 2])
        self.gathered = 0
        gather = self.pool.gather

        def counted(layer: int, block_table: Tensor) -> Tensor:
            self.gathered += 1
            return gather(layer, block_table)

        self.pool.gather = counted  # type: ignore[method-assign]

    def step(self, held: HeldKV | None, window: int | None = None) -> Tensor:
        """Both layers' attention of the newest tokens, which are random; (2, B, H, D)."""
        blocks = -(-int(self.length.max()) // BLOCK)
        table = self.table[:, :blocks]
        slots = self.pool.slots(table, self.length - 1)
        mask = length_mask(self.length, blocks * BLOCK, torch.float32)
        step = sdpa.decode(self.pool, slots, table, self.length, mask, held)
        torch.manual_seed(int(self.length.sum()))
        made = torch.randn(3, 2, ROWS, HEADS, DIM)
        spec = AttentionSpec(DIM**-0.5, window)
        layers = enumerate(zip(*made, strict=True))
        return torch.stack([step.attend(layer, query, key, value, spec) for layer, (query, key, value) in layers])

    def grow(self) -> None:
        self.length = self.length + 1


def test_every_step_is_as_if_the_blocks_were_gathered_and_hardly_any_gathers_them() -> None:
    held_rows, plain_rows = Rows(), Rows()
    held = HeldKV(held_rows.pool, ROWS)
    steps = COLUMNS * BLOCK - 9
    for _ in range(steps):
        held_rows.grow()
        plain_rows.grow()
        torch.testing.assert_close(held_rows.step(held), plain_rows.step(None), rtol=0, atol=0)
        assert torch.equal(held_rows.pool.data, plain_rows.pool.data)
    assert plain_rows.gathered == 2 * steps
    assert held_rows.gathered == 2 * -(-steps // (BLOCK * (1 + SLACK)))


def test_layers_with_a_window_read_blocks() -> None:
    held_rows, plain_rows = Rows(), Rows()
    held = HeldKV(held_rows.pool, ROWS)
    for _ in range(6):
        held_rows.grow()
        plain_rows.grow()
        assert torch.equal(held_rows.step(held, 5), plain_rows.step(None, 5))
    assert held_rows.gathered == plain_rows.gathered


def test_what_is_too_large_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, plain = Rows(), Rows()
    per_block = 4 * 2 * 2 * HEADS * DIM * BLOCK * ROWS
    monkeypatch.setattr(held_kv, "MOST_BYTES", per_block * (3 + SLACK))
    held = HeldKV(rows.pool, ROWS)
    for _ in range(8):  # the longest row needs a fourth block on the way
        rows.grow()
        plain.grow()
        assert torch.equal(rows.step(held), plain.step(None))
    assert 2 < rows.gathered < plain.gathered
    assert not held.fits(rows.table[:, :5])


def test_another_model_reads_its_own_pool() -> None:
    rows = Rows()
    step = DecodeAttention(rows.pool, rows.length, rows.length, None, held=HeldKV(rows.pool, ROWS))  # type: ignore[arg-type]
    assert step.over(Rows().pool).held is None
