"""The kernel over a prompt chunk whose tokens are stored already: each sees what is cached before it, and itself.

A program has one head and a tile of the chunk's tokens, and reads the keys and values that one of them sees out of the
blocks: no copy of them, no mask, and under a cap no matrix of scores.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mavis_core.model.backends.triton.online_softmax import LOG2E, base2, entries, fold


@triton.jit(do_not_specialize=["context", "count"])
def attend_chunk(  # type: ignore[no-untyped-def]
    out,  # (count, H, DIM)
    query,  # (count, H, DIM)
    sinks,  # (H,), or anything where SINKS is False
    cache,  # (blocks, BLOCK, 2, KV_HEADS, DIM) of one layer
    block_table,  # (P,) int64
    query_row,
    query_head,
    context,  # tokens of the row before the chunk
    count,
    scale,
    KV_HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_PAD: tl.constexpr,
    BLOCK: tl.constexpr,
    WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr,
    SINKS: tl.constexpr,
    QUERIES: tl.constexpr,
    TILE: tl.constexpr,
):
    """Grid (tiles of the chunk, H)."""
    start = tl.program_id(0) * QUERIES
    head = tl.program_id(1)
    kv_head = head // GROUPS
    at = start + tl.arange(0, QUERIES)
    own = context + at
    real = at < count
    d = tl.arange(0, DIM_PAD)
    inside = d < DIM
    where = at.to(tl.int64)[:, None] * query_row + head * query_head + d[None, :]
    queries = tl.load(query + where, mask=real[:, None] & inside[None, :], other=0.0)
    largest = tl.full((QUERIES,), float("-inf"), tl.float32)
    sums = tl.zeros((QUERIES,), tl.float32)
    weighted = tl.zeros((QUERIES, DIM_PAD), tl.float32)
    end = context + tl.minimum(start + QUERIES, count)
    begin = 0
    if WINDOW > 0:
        begin = tl.maximum(context + start - WINDOW + 1, 0) // TILE * TILE
    for first in range(begin, end, TILE):
        position = first + tl.arange(0, TILE)
        there = position < end
        key_at = cache + entries(block_table, position, there, BLOCK, 2 * KV_HEADS * DIM) + kv_head * DIM
        keys = tl.load(key_at[None, :] + d[:, None], mask=there[None, :] & inside[:, None], other=0.0)
        products = tl.dot(queries, keys, input_precision="ieee")
        seen = position[None, :] <= own[:, None]
        if WINDOW > 0:
            seen = seen & (position[None, :] > own[:, None] - WINDOW)
        # -1e30 and not -inf: through a window a tile may hide all its tokens from a query that sees later ones.
        scores = tl.where(seen, base2(products, scale, SOFTCAP), -1e30)
        value_at = key_at + KV_HEADS * DIM
        values = tl.load(value_at[:, None] + d[None, :], mask=there[:, None] & inside[None, :], other=0.0)
        largest, sums, weighted = fold(scores, values, largest, sums, weighted)
    if SINKS:
        sink = tl.load(sinks + head).to(tl.float32) * LOG2E
        raised = tl.maximum(largest, sink)
        kept = tl.exp2(largest - raised)
        sums = sums * kept + tl.exp2(sink - raised)
        weighted = weighted * kept[:, None]
    to = (at.to(tl.int64) * (KV_HEADS * GROUPS) + head)[:, None] * DIM + d[None, :]
    answer = weighted / sums[:, None]
    tl.store(out + to, answer.to(out.dtype.element_ty), mask=real[:, None] & inside[None, :])
