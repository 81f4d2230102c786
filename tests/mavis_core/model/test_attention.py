"""Attention over pages equals attention over what they hold, whatever stands behind a row's end."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mavis_core.model import attention
from mavis_core.model.attention import Chunk, DecodeAttention, PrefillAttention, SiblingAttention
from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.backends import newest, sdpa
from mavis_core.model.kv_pool import CacheSpec, KVPool

HEADS, KV_HEADS, DIM, BLOCK, BLOCKS = 6, 2, 5, 3, 11
LENGTHS = [7, 2]
SINKS = torch.randn(HEADS, generator=torch.Generator().manual_seed(8))
SPECS = {
    "plain": AttentionSpec(0.4),
    "window": AttentionSpec(0.4, window=4),
    "window of one": AttentionSpec(0.4, window=1),
    "window of a block": AttentionSpec(0.4, window=3),
    "wide window": AttentionSpec(0.4, window=100),
    "cap": AttentionSpec(0.4, softcap=0.7),
    "sinks": AttentionSpec(0.4, window=4, sinks=SINKS),
    "all": AttentionSpec(0.4, window=2, softcap=0.5, sinks=SINKS),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


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


def plain(query: Tensor, kept: Tensor, spec: AttentionSpec) -> Tensor:
    """One query (H, D) over (T, 2, H_kv, D), head by head."""
    found = []
    for head in range(HEADS):
        keys, values = kept[-(spec.window or len(kept)) :, :, head // (HEADS // KV_HEADS)].unbind(1)
        scores = keys @ query[head] * spec.scale
        if spec.softcap is not None:
            scores = spec.softcap * torch.tanh(scores / spec.softcap)
        total = scores.exp().sum() + (0 if spec.sinks is None else spec.sinks[head].exp())
        found.append(scores.exp() @ values / total)
    return torch.stack(found)


@each_spec
def test_decoding_sees_the_row_and_its_new_token(spec: AttentionSpec) -> None:
    made, table, kept = filled()
    query, key, value = (torch.randn(2, heads, DIM) for heads in (HEADS, KV_HEADS, KV_HEADS))
    step = newest(sdpa, made, table, torch.tensor(LENGTHS) + 1, max(LENGTHS) + 1)
    found = step.attend(0, query, key, value, spec)
    for row in range(2):
        seen = torch.cat((kept[row], torch.stack((key[row], value[row]))[None]))
        torch.testing.assert_close(found[row], plain(query[row], seen, spec))


@each_spec
@pytest.mark.parametrize("width", [4, 2])  # 2: as many siblings as rows
def test_siblings_see_the_row_and_themselves(width: int, spec: AttentionSpec) -> None:
    made, table, kept = filled()
    query, key, value = (torch.randn(2 * width, heads, DIM) for heads in (HEADS, KV_HEADS, KV_HEADS))
    step = SiblingAttention(made, table, torch.tensor(LENGTHS), max(LENGTHS), width)
    found = step.attend(0, query, key, value, spec)
    for at in range(2 * width):
        seen = torch.cat((kept[at // width], torch.stack((key[at], value[at]))[None]))
        torch.testing.assert_close(found[at], plain(query[at], seen, spec))


@pytest.mark.parametrize("window", [5, 6, 7])
def test_a_window_as_wide_as_what_is_cached_is_one_too_narrow_for_a_sibling(window: int) -> None:
    """Six tokens fill two blocks: through a window of six a sibling sees itself and five of them."""
    made = KVPool(CacheSpec(1, KV_HEADS, DIM), 2, BLOCK, torch.float32, torch.device("cpu"))
    made.clear(torch.arange(2))
    kept = torch.randn(6, 2, KV_HEADS, DIM, generator=torch.Generator().manual_seed(1))
    made.write(0, torch.arange(6), kept[:, 0], kept[:, 1])
    query, key, value = (torch.randn(1, heads, DIM) for heads in (HEADS, KV_HEADS, KV_HEADS))
    spec = AttentionSpec(0.4, window=window)
    step = SiblingAttention(made, torch.tensor([[0, 1]]), torch.tensor([6]), 6, 1)
    seen = torch.cat((kept, torch.stack((key[0], value[0]))[None]))
    torch.testing.assert_close(step.attend(0, query, key, value, spec)[0], plain(query[0], seen, spec))


@each_spec
@pytest.mark.parametrize("strip", [256, 2])
@pytest.mark.parametrize("context", [0, 2, 5, 6])
def test_a_chunk_sees_what_was_read_before_it_and_itself_up_to_each_token(
    context: int, strip: int, spec: AttentionSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "SMALLEST_STRIP", strip)
    made, table, kept = filled()
    row, length = kept[0], LENGTHS[0]
    query = torch.randn(length, HEADS, DIM)
    at = torch.arange(context, length)
    slots = table[0, at // BLOCK] * BLOCK + at % BLOCK
    made.write(0, slots, torch.zeros(len(at), KV_HEADS, DIM), torch.zeros(len(at), KV_HEADS, DIM))
    step = PrefillAttention(made, slots, [Chunk(0, length - context, context, table[:1])])
    found = step.attend(0, query[context:], row[context:, 0], row[context:, 1], spec)
    for i in range(length - context):
        torch.testing.assert_close(found[i], plain(query[context + i], row[: context + i + 1], spec))


def test_a_window_reads_only_the_blocks_that_it_can_touch() -> None:
    """Of a row of seven blocks the last two, wherever in a block it ends."""
    made = KVPool(CacheSpec(1, KV_HEADS, DIM), 7, BLOCK, torch.float32, torch.device("cpu"))
    table = torch.arange(7)[None]
    for length in (19, 20, 21):
        step = newest(sdpa, made, table, torch.tensor([length]), length)
        assert isinstance(step, DecodeAttention)
        span = step.span(3)
        assert span.block_table.tolist() in ([[5, 6]], [[5, 6], [6, 6]], [[6, 6]]), length
        assert (span.mask == 0).sum() == 3
        assert step.span(3) is span, "made once"
        assert step.span(100) is step.whole
