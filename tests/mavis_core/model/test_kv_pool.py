from __future__ import annotations

import torch

from mavis_core.model.kv_pool import CacheSpec, KVPool

LAYERS, BLOCKS, SIZE, HEADS, DIM = 2, 7, 3, 5, 11


def pool() -> KVPool:
    made = KVPool(CacheSpec(LAYERS, HEADS, DIM), BLOCKS, SIZE, torch.float32, torch.device("cpu"))
    made.clear(torch.arange(BLOCKS))
    return made


def test_what_is_written_at_slots_is_gathered_by_blocks() -> None:
    target = pool()
    keys, values = torch.randn(2, 4, HEADS, DIM)
    target.write(1, torch.tensor([15, 16, 17, 6]), keys, values)
    found = target.gather(1, torch.tensor([[5, 2], [2, 0]]))
    assert found.shape == (2, 2 * SIZE, 2, HEADS, DIM)
    assert torch.equal(found[0, :4, 0], keys)
    assert torch.equal(found[0, :4, 1], values)
    assert torch.equal(found[1, 0, 0], keys[3])
    assert not found[1, 1:].any()
    assert not target.gather(0, torch.tensor([[5, 2]])).any()


def test_cleared_blocks_and_the_padding_are_zero_in_all_layers_and_others_stay() -> None:
    target = pool()
    target.data[:, :BLOCKS] = torch.nan
    target.data[:, 3] = 1
    target.clear(torch.tensor([0, 5]))
    assert not target.data[:, [0, 5, target.padding]].any()
    assert torch.equal(target.data[:, 3], torch.ones_like(target.data[:, 3]))
    assert target.data[:, [1, 2, 4, 6]].isnan().all()


def test_one_write_reaches_all_layers() -> None:
    target = pool()
    entries = torch.randn(LAYERS, 2, 2, HEADS, DIM)
    target.write_all(torch.tensor([20, 4]), entries)
    for layer in range(LAYERS):
        assert torch.equal(target.gather(layer, torch.tensor([[6, 1]]))[0, [2, 4]], entries[layer])


def test_blocks_are_copied_in_all_layers_and_then_separate() -> None:
    target = pool()
    target.data.normal_()
    before = target.data.clone()
    target.copy_blocks(torch.tensor([2, 5]), torch.tensor([0, 6]))
    assert torch.equal(target.data[:, [0, 6]], before[:, [2, 5]])
    target.write(0, torch.tensor([0]), torch.zeros(1, HEADS, DIM), torch.zeros(1, HEADS, DIM))
    assert torch.equal(target.data[:, [1, 2, 3, 4, 5]], before[:, [1, 2, 3, 4, 5]])
