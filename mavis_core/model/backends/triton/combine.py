"""The kernel behind ``cached``: puts a row's parts together with the token itself, and stores the token.

A token's own key and value come straight from the layer, so the kernel before reads nothing that is being written, and
storing them costs no launch of its own. A program has one token and one head.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mavis_core.model.backends.triton.cached import part
from mavis_core.model.backends.triton.online_softmax import LOG2E, base2


@triton.jit(do_not_specialize=["total", "width", "splits"])
def combine(  # type: ignore[no-untyped-def]
    out,  # (N, H, DIM)
    query,  # (N, H, DIM)
    key,  # (N, KV_HEADS, DIM)
    value,  # (N, KV_HEADS, DIM)
    sinks,  # (H,), or anything where SINKS is False
    stored,  # (.., 2, KV_HEADS, DIM), where keys and values of this layer are kept
    slots,  # (N,) int64, which of them are these tokens'
    prefix_length,  # (rows,) int64
    found,  # as ``attend_cached`` leaves them
    largest_found,
    total_found,
    query_row,
    query_head,
    key_row,
    key_head,
    value_row,
    value_head,
    total,  # N
    width,
    splits,
    scale,
    KV_HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_PAD: tl.constexpr,
    WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr,
    SINKS: tl.constexpr,
    TILE: tl.constexpr,
    SPLITS: tl.constexpr,  # a power of 2, at least ``splits``
):
    """Grid (N, H)."""
    at = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    kv_head = head // GROUPS
    d = tl.arange(0, DIM_PAD)
    inside = d < DIM
    own_query = tl.load(query + at * query_row + head * query_head + d, mask=inside, other=0.0).to(tl.float32)
    own_key = tl.load(key + at * key_row + kv_head * key_head + d, mask=inside, other=0.0).to(tl.float32)
    own_value = tl.load(value + at * value_row + kv_head * value_head + d, mask=inside, other=0.0).to(tl.float32)
    own = base2(tl.sum(own_query * own_key, 0), scale, SOFTCAP)

    prefix = tl.load(prefix_length + at // width).to(tl.int32)
    first, share = part(prefix, splits, WINDOW, TILE)
    split = tl.arange(0, SPLITS)
    live = first + split * share < prefix
    where = (split * total + at) * (KV_HEADS * GROUPS) + head
    largest = tl.load(largest_found + where, mask=live, other=float("-inf"))
    totals = tl.load(total_found + where, mask=live, other=0.0)
    raised = tl.maximum(tl.max(largest, 0), own)
    if SINKS:
        sink = tl.load(sinks + head).to(tl.float32) * LOG2E
        raised = tl.maximum(raised, sink)
    kept = tl.exp2(largest - raised)
    own_share = tl.exp2(own - raised)
    sums = tl.sum(totals * kept, 0) + own_share
    if SINKS:
        sums += tl.exp2(sink - raised)
    weighted = tl.load(found + where[:, None] * DIM + d[None, :], mask=live[:, None] & inside[None, :], other=0.0)
    answer = (tl.sum(weighted * kept[:, None], 0) + own_share * own_value) / sums
    tl.store(out + (at * (KV_HEADS * GROUPS) + head) * DIM + d, answer.to(out.dtype.element_ty), mask=inside)
    if head % GROUPS == 0:
        to = stored + tl.load(slots + at) * (2 * KV_HEADS * DIM) + kv_head * DIM + d
        tl.store(to, own_key.to(stored.dtype.element_ty), mask=inside)
        tl.store(to + KV_HEADS * DIM, own_value.to(stored.dtype.element_ty), mask=inside)
