"""How the kernels are launched: sizes of tiles, the number of parts, and which arguments follow from which tensors.

All of it follows from shapes that the host knows, never from what is in a tensor on the device. Few different kernels
are compiled: what changes from step to step (rows, lengths, candidates, columns of the table) is no constant of theirs.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.backends.triton.cached import attend_cached
from mavis_core.model.backends.triton.chunk import attend_chunk
from mavis_core.model.backends.triton.combine import combine
from mavis_core.model.kv_pool import KVPool

MOST_SPLITS = 32
FILLS = 2  # programs per multiprocessor that keep its memory busy
TILE_BYTES = 16384  # of keys, and as much of values: two of each in flight fit into any GPU's shared memory
ACCUMULATED = 8192  # numbers of a tile of queries that a program keeps in registers
LEAST, MOST = 16, 64  # queries or tokens of a tile; matrix units take no fewer


@dataclass(frozen=True, slots=True)
class Tiles:
    """Sizes of one kernel's tiles, powers of 2: queries, tokens, and numbers per head."""

    queries: int
    tokens: int
    dim: int

    @classmethod
    def of(cls, queries: int, dim: int, dtype: torch.dtype) -> Tiles:
        """For that many queries of one KV head."""
        padded = max(LEAST, _power_of_2(dim))
        # In float32 there are no matrix units to multiply exactly, and larger tiles do not fit into registers.
        most = LEAST if dtype == torch.float32 else _within(ACCUMULATED // padded)
        return cls(min(most, _within(_power_of_2(queries))), _within(TILE_BYTES // (padded * dtype.itemsize)), padded)


def _within(count: int) -> int:
    return min(MOST, max(LEAST, count))


def _power_of_2(count: int) -> int:
    """The smallest that is at least ``count``."""
    return 1 << max(0, count - 1).bit_length()


def split_count(programs: int, tokens: int, tile: int, processors: int) -> int:
    """Into how many parts a row of at most ``tokens`` is split, so that ``programs`` of each fill the GPU.

    One row of a long text needs many, or most of the GPU looks on; many rows need none, and then every part more would
    only add to what is written and read again.
    """
    wanted = -(-FILLS * processors // programs)
    return max(1, min(wanted, -(-tokens // tile), MOST_SPLITS))


@cache
def processors(device: torch.device) -> int:
    """Multiprocessors; on a CPU, where the interpreter runs the kernels one by one, as many as make parts."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 8


def on(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on torch's current device, which need not be the model's."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def newest_attention(
    pool: KVPool,
    layer: int,
    block_table: Tensor,
    prefix_length: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spec: AttentionSpec,
    stored: Tensor,
    slots: Tensor,
) -> Tensor:
    """Attention of tokens that each see their row's prefix and themselves, and storing them.

    Args:
        block_table: (R, P) int64; R rows of N / R tokens each.
        prefix_length: (R,) int64, tokens of each row before these, all of which are at one position.
        query: (N, H, D).
        key, value: (N, H_kv, D).
        stored: (.., 2, H_kv, D), contiguous, where keys and values are kept.
        slots: (N,) int64, at which of its lines.

    Returns:
        (N, H, D), contiguous.
    """
    query, key, value = (_rows(x) for x in (query, key, value))
    total, heads, dim = query.shape
    rows, kv_heads = block_table.shape[0], key.shape[1]
    width = total // rows
    queries = heads // kv_heads * width
    tiles = Tiles.of(queries, dim, pool.data.dtype)
    programs = rows * -(-queries // tiles.queries)
    seen = block_table.shape[1] * pool.block_size
    seen = seen if spec.window is None else min(seen, spec.window)
    splits = split_count(programs * kv_heads, seen, tiles.tokens, processors(query.device))
    parts = (
        query.new_empty((splits, total, heads, dim), dtype=torch.float32),
        query.new_empty((splits, total, heads), dtype=torch.float32),
        query.new_empty((splits, total, heads), dtype=torch.float32),
    )
    out = query.new_empty((total, heads, dim))
    sinks = query if spec.sinks is None else spec.sinks
    sizes = (total, width, splits, spec.scale)
    constants = _constants(heads, kv_heads, tiles, dim, spec)
    with on(query.device):
        attend_cached[(programs, kv_heads, splits)](
            *(query, pool.data[layer], block_table, prefix_length, *parts),
            *(*query.stride()[:2], block_table.stride(0), *sizes),
            **constants,
            **{"BLOCK": pool.block_size, "QUERIES": tiles.queries, "num_stages": 2},
        )
        combine[(total, heads)](
            *(out, query, key, value, sinks, stored, slots, prefix_length, *parts),
            *(*query.stride()[:2], *key.stride()[:2], *value.stride()[:2], *sizes),
            **constants,
            **{"SINKS": spec.sinks is not None, "SPLITS": 1 if splits == 1 else MOST_SPLITS},
        )
    return out


def chunk_attention(
    pool: KVPool, layer: int, block_table: Tensor, context: int, query: Tensor, spec: AttentionSpec
) -> Tensor:
    """Attention of a chunk, query (T, H, D), stored behind ``context`` tokens of its row -> (T, H, D), contiguous.

    Args:
        block_table: (P,) int64, of context and chunk.
    """
    query = _rows(query)
    count, heads, dim = query.shape
    tiles = Tiles.of(count, dim, pool.data.dtype)
    out = query.new_empty((count, heads, dim))
    sinks = query if spec.sinks is None else spec.sinks
    constants = _constants(heads, pool.spec.kv_heads, tiles, dim, spec)
    with on(query.device):
        attend_chunk[(-(-count // tiles.queries), heads)](
            *(out, query, sinks, pool.data[layer], block_table, *query.stride()[:2], context, count, spec.scale),
            **constants,
            **{"BLOCK": pool.block_size, "SINKS": spec.sinks is not None, "QUERIES": tiles.queries, "num_stages": 2},
        )
    return out


def _constants(heads: int, kv_heads: int, tiles: Tiles, dim: int, spec: AttentionSpec) -> dict[str, int | float]:
    """What all kernels are compiled for."""
    return {
        "KV_HEADS": kv_heads,
        "GROUPS": heads // kv_heads,
        "DIM": dim,
        "DIM_PAD": tiles.dim,
        "WINDOW": spec.window or 0,
        "SOFTCAP": spec.softcap or 0.0,
        "TILE": tiles.tokens,
    }


def _rows(x: Tensor) -> Tensor:
    """With the numbers of one head side by side, as the kernels read them."""
    return x if x.stride(-1) == 1 else x.contiguous()
