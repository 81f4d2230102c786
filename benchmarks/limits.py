"""What the machine can do at most: bytes read per second, and multiplications per second at a model's shapes.

A step at one row reads every weight once and computes next to nothing; at many rows it computes on each weight as often
as there are rows. So the first is bounded by the memory and the second by the matrix units, and a speed says little
without them. Measured in the run that they are compared with, by as many threads as compute there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mavis_core.model.packed_linear import PackedLinear, packed_output

READ_BYTES = 1 << 30  # far beyond any cache
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Work:
    """What forwards of a model ask for, attention left out.

    Attributes:
        shapes: (outputs, inputs) of every linear layer -> how many there are; the output layer is among them.
        readout: shape of the output layer, which only positions that draw need.
        weight_bytes: of all these layers, as they are stored.
    """

    shapes: Counter[tuple[int, int]]
    readout: tuple[int, int]
    weight_bytes: int

    @classmethod
    def of(cls, model: Any) -> Work:
        """Of a transformers causal LM, quantised or not."""
        linear = [module for module in model.modules() if hasattr(module, "out_features")]
        shapes = Counter((module.out_features, module.in_features) for module in linear)
        readout = tuple(model.get_output_embeddings().weight.shape)
        return cls(shapes, readout, sum(_bytes(module) for module in linear))

    def flops(self, read: int, drawn: int) -> int:
        """Of ``read`` positions in all, ``drawn`` of which go through the output layer; two per multiplication."""
        outputs, inputs = self.readout
        every = sum(out * into * count for (out, into), count in self.shapes.items())
        return 2 * ((every - outputs * inputs) * read + outputs * inputs * drawn)


@dataclass(frozen=True, slots=True)
class Limits:
    """``bytes_per_s`` read from memory; ``flops_per_s`` of a model's products at ``rows`` rows."""

    bytes_per_s: float
    flops_per_s: float
    rows: int

    @classmethod
    def measure(
        cls, work: Work, rows: int, dtype: torch.dtype, device: torch.device, read_bytes: int = READ_BYTES
    ) -> Limits:
        return cls(read_bandwidth(device, read_bytes), matrix_rate(work, rows, dtype, device), rows)

    def described(self) -> dict[str, float | int]:
        """For people: GB and Gflop per second."""
        return {
            "read_gb_per_s": round(self.bytes_per_s / 1e9, 2),
            "gflops_per_s": round(self.flops_per_s / 1e9, 1),
            "at_rows": self.rows,
        }

    def shares(self, work: Work, rows: int, prompt: int, tokens: int, seconds: float) -> dict[str, float]:
        """What part of each limit a call has used that read ``rows`` prompts and drew ``tokens`` for each.

        Every forward reads the weights once, the first of them reads the prompts.
        """
        flops = work.flops(rows * (prompt + tokens - 1), rows * tokens)
        return {
            "bandwidth": round(work.weight_bytes * tokens / seconds / self.bytes_per_s, 3),
            "matrix_rate": round(flops / seconds / self.flops_per_s, 3),
        }


def _bytes(layer: Any) -> int:
    found: int = layer.nbytes if isinstance(layer, PackedLinear) else layer.weight.nbytes
    return found


def read_bandwidth(device: torch.device, size: int = READ_BYTES) -> float:
    """Bytes per second at which a large tensor is read once, by a sum over all of it."""
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    return float(source.nbytes / _fastest(source.sum, device))


def matrix_rate(work: Work, rows: int, dtype: torch.dtype, device: torch.device) -> float:
    """Floating point operations per second of products of ``rows`` rows with every shape of ``work``.

    A shape's product is repeated on one weight, which caches may hold: more than a model can have. Weights are packed
    where the engine packs them.
    """
    seconds, flops = 0.0, 0
    for (outputs, inputs), count in work.shapes.items():
        layer = packed_output(nn.Linear(inputs, outputs, bias=False, dtype=dtype, device=device))
        x = torch.ones(rows, inputs, dtype=dtype, device=device)
        seconds += count * _fastest(partial(layer, x), device)
        flops += count * 2 * rows * outputs * inputs
    return flops / seconds


def _fastest(run: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of the fastest of a few calls, behind one that warms up."""
    times = []
    with torch.inference_mode():
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return min(times[1:])
