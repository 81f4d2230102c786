"""Chunks of prompts, flattened: where each token stands and where its KV goes, by looking it up one by one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.model.prefill import PrefillBatch
from mavis_core.schedule.scheduler import PrefillChunk
from tests.mavis_core.rows import rows


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=4), st.data())
def test_every_token_is_where_its_row_has_it(parts: list[tuple[int, int, int]], data: st.DataObject) -> None:
    block = data.draw(st.integers(1, 4))
    numbers = iter(data.draw(st.permutations(range(90))))
    planned = []
    for start, count, more in parts:
        (row,) = rows([(3 * i + start) % 200 for i in range(start + count + more)])
        row.blocks = [next(numbers) for _ in range(-(-len(row.tokens) // block))]
        planned.append(PrefillChunk(row, row, start, count, more == 0))
    found = PrefillBatch.build(planned, block, torch.device("cpu"))
    expected = [
        (part.row.tokens[at], at, part.row.blocks[at // block] * block + at % block)
        for part in planned
        for at in range(part.start, part.start + part.count)
    ]
    assert list(zip(*(each.tolist() for each in (found.tokens, found.positions, found.slots)), strict=True)) == expected
    end = 0
    for chunk, part in zip(found.chunks, planned, strict=True):
        assert (chunk.start, chunk.stop, chunk.context) == (end, end + part.count, part.start)
        end = chunk.stop
        assert chunk.block_table.tolist() == [part.row.blocks[: -(-(part.start + part.count) // block)]]
