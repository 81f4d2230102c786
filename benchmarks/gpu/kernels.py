"""Stage: attention alone, of one layer of a shape, by each backend: bytes of KV per second, out of a CUDA graph.

Decoding reads every row's keys and values once; so do siblings, K of them side by side.
"""

from __future__ import annotations

from importlib import import_module

import torch

from benchmarks.gpu.clock import replayed_seconds
from benchmarks.gpu.record import Record
from benchmarks.shapes import SHAPES, Shape
from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.backends import newest
from mavis_core.model.kv_pool import CacheSpec, KVPool

BLOCK, WIDTH, LAYERS = 16, 40, 8
"""Layers in turn, so that a layer's KV is not in the cache when it is read again."""


def measure(record: Record, name: str, shape: Shape, backend: str, rows: int, length: int) -> None:
    device, dim = record.device, shape.hidden // shape.heads
    dtype = torch.float32 if record.rehearse else torch.bfloat16
    blocks = -(-(length + 1) // BLOCK)
    layers = 1 if record.rehearse else LAYERS
    pool = KVPool(CacheSpec(layers, shape.kv_heads, dim), rows * blocks, BLOCK, dtype, device)
    pool.data.normal_()
    table = torch.randperm(rows * blocks, device=device).view(rows, blocks)
    lengths, spec = torch.full((rows,), length, device=device), AttentionSpec(dim**-0.5)
    module = import_module(f"mavis_core.model.backends.{backend}")
    for kind, width in (("decode", 1), ("siblings", 2 if record.rehearse else WIDTH)):
        total = rows * width
        query, key, value = (
            torch.randn(total, heads, dim, device=device, dtype=dtype)
            for heads in (shape.heads, shape.kv_heads, shape.kv_heads)
        )
        if kind == "decode":
            step = newest(module, pool, table, lengths, length)
        else:
            step = module.siblings(pool, table, lengths - 1, length - 1, width)

        def all_layers() -> None:
            for layer in range(layers):
                step.attend(layer, query, key, value, spec)  # noqa: B023

        took = replayed_seconds(all_layers, device, 1, 1 if record.rehearse else 20) / layers
        read = rows * length * 2 * shape.kv_heads * dim * dtype.itemsize
        record.add(
            shape=name, backend=backend, kind=kind, rows=rows, length=length, seconds=took, bytes_per_s=read / took
        )


@torch.inference_mode()
def main() -> None:
    record = Record.of_arguments()
    names = ["tiny"] if record.rehearse else ["1b", "7b"]
    sizes = [(1, 20)] if record.rehearse else [(1, 512), (1, 8192), (32, 1024), (256, 1024)]
    for name in names:
        for rows, length in sizes:
            for backend in ("triton", "sdpa"):
                measure(record, name, SHAPES[name], backend, rows, length)


if __name__ == "__main__":
    main()
