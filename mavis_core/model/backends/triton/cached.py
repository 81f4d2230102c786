"""The kernel over what is cached of a row, split over its length: each part is a running softmax of its own.

A program has one row, one KV head and one part of the row's tokens, and reads their keys and values once for a tile of
queries: all heads that share the KV head, of all tokens that stand at the row's next position. That is one token where
a row decodes and K where candidates are scored, so the prefix of a row is not read K times.

How many parts there are is the grid's business and fixed by the host; how many tokens a part has follows from the
row's length, which is read on the device. So nothing waits for the device, and a CUDA graph may hold the launch.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mavis_core.model.backends.triton.online_softmax import base2, entries, fold


@triton.jit
def part(prefix, splits, WINDOW: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """(first, share): of a row's ``prefix`` tokens the first that its next token sees, and tokens per part."""
    first = 0
    if WINDOW > 0:
        first = tl.maximum(prefix - WINDOW + 1, 0)
    return first, tl.cdiv(tl.cdiv(prefix - first, splits), TILE) * TILE


@triton.jit(do_not_specialize=["total", "width", "splits", "table_row"])
def attend_cached(  # type: ignore[no-untyped-def]
    query,  # (N, H, D), N = rows * width
    cache,  # (blocks, BLOCK, 2, KV_HEADS, DIM) of one layer
    block_table,  # (rows, P) int64
    prefix_length,  # (rows,) int64
    found,  # (splits, N, H, DIM) float32: weighted values
    largest_found,  # (splits, N, H) float32
    total_found,  # (splits, N, H) float32
    query_row,
    query_head,
    table_row,
    total,  # N
    width,
    splits,
    scale,
    KV_HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_PAD: tl.constexpr,
    BLOCK: tl.constexpr,
    WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr,
    QUERIES: tl.constexpr,
    TILE: tl.constexpr,
):
    """Grid (rows * tiles of queries, KV_HEADS, splits); parts without a token store nothing."""
    tiles = tl.cdiv(width * GROUPS, QUERIES)
    row = tl.program_id(0) // tiles
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    prefix = tl.load(prefix_length + row).to(tl.int32)
    first, share = part(prefix, splits, WINDOW, TILE)
    begin = first + split * share
    end = tl.minimum(begin + share, prefix)
    if begin < end:
        own = (tl.program_id(0) % tiles) * QUERIES + tl.arange(0, QUERIES)
        at = (row * width + own // GROUPS).to(tl.int64)
        head = kv_head * GROUPS + own % GROUPS
        real = own < width * GROUPS
        d = tl.arange(0, DIM_PAD)
        inside = d < DIM
        where = at[:, None] * query_row + head[:, None] * query_head + d[None, :]
        queries = tl.load(query + where, mask=real[:, None] & inside[None, :], other=0.0)
        largest = tl.full((QUERIES,), float("-inf"), tl.float32)
        sums = tl.zeros((QUERIES,), tl.float32)
        weighted = tl.zeros((QUERIES, DIM_PAD), tl.float32)
        for start in range(begin, end, TILE):
            position = start + tl.arange(0, TILE)
            there = position < end
            entry = entries(block_table + row * table_row.to(tl.int64), position, there, BLOCK, 2 * KV_HEADS * DIM)
            key_at = cache + entry + kv_head * DIM
            keys = tl.load(key_at[None, :] + d[:, None], mask=there[None, :] & inside[:, None], other=0.0)
            products = tl.dot(queries, keys, input_precision="ieee")
            scores = tl.where(there[None, :], base2(products, scale, SOFTCAP), float("-inf"))
            value_at = key_at + KV_HEADS * DIM
            values = tl.load(value_at[:, None] + d[None, :], mask=there[:, None] & inside[None, :], other=0.0)
            largest, sums, weighted = fold(scores, values, largest, sums, weighted)
        to = (split * total + at) * (KV_HEADS * GROUPS) + head
        tl.store(largest_found + to, largest, mask=real)
        tl.store(total_found + to, sums, mask=real)
        tl.store(found + to[:, None] * DIM + d[None, :], weighted, mask=real[:, None] & inside[None, :])
