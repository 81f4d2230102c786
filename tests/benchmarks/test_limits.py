"""What a model asks of the machine, counted by hand; that a limit is measured at all."""

from __future__ import annotations

import pytest
import torch

from benchmarks.limits import Limits, Work
from tests.models import HIDDEN, VOCAB, tiny_model

CPU = torch.device("cpu")
# Per layer of the tiny Llama: queries and output 24 x 24, keys and values 8 x 24, three of 41 by 24.
PER_LAYER = 2 * 24 * 24 + 2 * 8 * 24 + 3 * 41 * 24


def test_work_is_that_of_the_linear_layers() -> None:
    work = Work.of(tiny_model("llama"))
    assert work.readout == (VOCAB, HIDDEN)
    assert work.weight_bytes == 4 * (2 * PER_LAYER + VOCAB * HIDDEN)
    assert work.flops(read=7, drawn=3) == 2 * (7 * 2 * PER_LAYER + 3 * VOCAB * HIDDEN)


def test_shares_of_limits() -> None:
    """At these limits a second is what three forwards take to read their weights, or a tenth of it to compute."""
    work = Work.of(tiny_model("llama"))
    flops = work.flops(2 * (5 + 3 - 1), 2 * 3)
    limits = Limits(3 * work.weight_bytes, 10 * flops, 2)
    assert limits.shares(work, rows=2, prompt=5, tokens=3, seconds=1) == {"bandwidth": 1.0, "matrix_rate": 0.1}
    assert limits.shares(work, rows=2, prompt=5, tokens=3, seconds=2) == {"bandwidth": 0.5, "matrix_rate": 0.05}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_limits_are_measured(dtype: torch.dtype) -> None:
    limits = Limits.measure(Work.of(tiny_model("llama")), 3, dtype, CPU, read_bytes=1 << 20)
    assert limits.bytes_per_s > 0 and limits.flops_per_s > 0
    assert set(limits.described()) == {"read_gb_per_s", "gflops_per_s", "at_rows"}
