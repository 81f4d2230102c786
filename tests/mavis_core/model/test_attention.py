"""Attention over pages equals attention over what they hold, whatever stands behind a row's end."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mavis_core.model.attention import Chunk, DecodeAttention, PrefillAttention, SiblingAttention, length_mask
from mavis_core.model.kv_pool import CacheSpec, KVPool

HEADS, KV_HEADS, DIM, BLOCK, BLOCKS = 6, 2, 5, 3, 11
LENGTHS = [7, 2]
SCALE = 0.4


def pool() -> KVPool:
    """Whose blocks hold what may be anything, as before the first use."""
    made = KVPool(CacheSpec(1, KV_HEADS, DIM), BLOCKS, BLOCK, torch.float32, torch.device("cpu"))
    made.data[:, :BLOCKS] = torch.nan
    return made


def filled() -> tuple[KVPool, Tensor, list[Tensor]]:
    """Two rows over shuffled blocks, cleared as an engine does; the padded table; their entries (T, 2, H_kv, D)."""
    made = pool()
    blocks = [[9, 4, 1], [6]]
    table = torch.tensor([row + [made.padding] * (3 - len(row)) for row in blocks])
    made.clear(torch.tensor([*blocks[0], *blocks[1]]))
    generator = torch.Generator().manual_seed(3)
    kept = [torch.randn(length, 2, KV_HEADS, DIM, generator=generator) for length in LENGTHS]
    for row, entries in enumerate(kept):
        at = torch.arange(LENGTHS[row])
        slots = table[row, at // BLOCK] * BLOCK + at % BLOCK
        made.write(0, slots, entries[:, 0], entries[:, 1])
    return made, table, kept


def plain(query: Tensor, kept: Tensor) -> Tensor:
    """One query (H, D) over (T, 2, H_kv, D), heads repeated."""
    keys, values = kept.unbind(1)
    groups = HEADS // KV_HEADS
    out = F.scaled_dot_product_attention(
        query[None, :, None],
        keys.repeat_interleave(groups, 1).transpose(0, 1)[None],
        values.repeat_interleave(groups, 1).transpose(0, 1)[None],
        scale=SCALE,
    )
    return out[0, :, 0]


def test_decoding_sees_the_row_and_its_new_token() -> None:
    made, table, kept = filled()
    query, key, value = (torch.randn(2, heads, DIM) for heads in (HEADS, KV_HEADS, KV_HEADS))
    length = torch.tensor(LENGTHS)
    slots = table.gather(1, (length // BLOCK)[:, None])[:, 0] * BLOCK + length % BLOCK
    step = DecodeAttention(made, slots, table, length_mask(length + 1, 3 * BLOCK, torch.float32))
    found = step.attend(0, query, key, value, SCALE)
    for row in range(2):
        seen = torch.cat((kept[row], torch.stack((key[row], value[row]))[None]))
        torch.testing.assert_close(found[row], plain(query[row], seen))


@pytest.mark.parametrize("width", [4, 2])  # 2: as many siblings as rows
def test_siblings_see_the_row_and_themselves(width: int) -> None:
    made, table, kept = filled()
    query, key, value = (torch.randn(2 * width, heads, DIM) for heads in (HEADS, KV_HEADS, KV_HEADS))
    step = SiblingAttention(made, table, torch.tensor(LENGTHS), max(LENGTHS), width)
    found = step.attend(0, query, key, value, SCALE)
    for at in range(2 * width):
        seen = torch.cat((kept[at // width], torch.stack((key[at], value[at]))[None]))
        torch.testing.assert_close(found[at], plain(query[at], seen))


@pytest.mark.parametrize("context", [0, 2, 6])
def test_a_chunk_sees_what_was_read_before_it_and_itself_up_to_each_token(context: int) -> None:
    made, table, kept = filled()
    row, length = kept[0], LENGTHS[0]
    query = torch.randn(length, HEADS, DIM)
    at = torch.arange(context, length)
    slots = table[0, at // BLOCK] * BLOCK + at % BLOCK
    made.write(0, slots, torch.zeros(len(at), KV_HEADS, DIM), torch.zeros(len(at), KV_HEADS, DIM))
    step = PrefillAttention(made, slots, [Chunk(0, length - context, context, table[:1])])
    found = step.attend(0, query[context:], row[context:, 0], row[context:, 1], SCALE)
    for i in range(length - context):
        torch.testing.assert_close(found[i], plain(query[context + i], row[: context + i + 1]))
