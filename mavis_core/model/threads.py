"""How many threads a step computes with on a CPU.

Torch's own default, one for each physical core, is right for a model whose layers take long: each layer is split, and
all wait for the slowest part. A small model's layers take microseconds, and the waiting is what they cost: if but one
of the cores is busy with something else, the event loop or another program, every layer of every step waits for the
scheduler to give it back. So a small model gets one thread. On a busy machine with two cores that was .6 s instead of
7 s for 50 tokens of the model that ships.

Threads between operations are one: nothing here runs operations beside each other.
"""

from __future__ import annotations

import logging
import os

import torch
from torch import nn

from mavis_core.model.packed_linear import weight_count

SMALL = 100_000_000  # weights; a step over this many takes some 10 ms on one core

log = logging.getLogger(__name__)


def set_threads(wanted: int | None, model: nn.Module) -> int:
    """Set the threads of this process for steps of ``model``; on the thread that will run them, before the first.

    Args:
        wanted: how many, or None for what ``OMP_NUM_THREADS`` says, which torch would follow too; without it, the
            default above.

    Returns: how many there are now, within an operation.
    """
    wanted = wanted or _own_threads()
    if wanted is None and not is_large(model):
        wanted = 1
    if wanted is not None:
        torch.set_num_threads(wanted)
    if torch.get_num_interop_threads() != 1:
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError:  # torch sets it once, before it has used them
            log.info("torch keeps %d threads between operations", torch.get_num_interop_threads())
    return int(torch.get_num_threads())


def is_large(model: nn.Module) -> bool:
    """Whether most of a step is in the model's products."""
    return weight_count(model) >= SMALL


def _own_threads() -> int | None:
    """What OpenMP's own variable says, of nested levels the first."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(said) or None if said.isdecimal() else None
