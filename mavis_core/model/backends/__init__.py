"""Ways to compute attention over paged KV; an engine chooses one by name when it is built.

A backend is a module of this folder with the three functions of ``AttentionBackend``, and its file's name is its name.
It is imported only where it is chosen, so the library that it needs may be missing everywhere else. ``sdpa`` is the
reference that others are compared with, ``triton`` has kernels of its own for CUDA.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor

from mavis_core.api.errors import ConfigError
from mavis_core.model.attention import Chunk, DecodeStep, RowsStep, SiblingStep
from mavis_core.model.held_kv import HeldKV
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.span import length_mask


class AttentionBackend(Protocol):
    """Makes what a forward is given as ``kv_step``, of B rows that decode, of prompt chunks, or of G * K siblings."""

    def decode(
        self,
        pool: KVPool,
        slots: Tensor,
        block_table: Tensor,
        length: Tensor,
        mask: Tensor,
        held: HeldKV | None = None,
    ) -> DecodeStep:
        """One new token per row.

        Args:
            pool: of the model that runs.
            slots: (B,) int64, where each row's new token is stored.
            block_table: (B, P) int64, wide enough for the longest row.
            length: (B,) int64, tokens of each row, the new one among them.
            mask: (B, 1, 1, P * block) additive: 0 before ``length``, -inf beyond.
            held: of the same rows from step to step, for a backend that reads copies; None for rows of one step.
        """
        ...

    def prefill(self, pool: KVPool, slots: Tensor, chunks: Sequence[Chunk]) -> RowsStep:
        """Prompt chunks, flattened to N tokens that are stored at ``slots`` (N,) int64."""
        ...

    def siblings(self, pool: KVPool, block_table: Tensor, length: Tensor, longest: int, width: int) -> SiblingStep:
        """K = ``width`` candidates of each of G rows; arguments as of ``attention.SiblingAttention``."""
        ...


def attention_backend(name: str, device: torch.device) -> AttentionBackend:
    """The backend of that name; "auto" is ``triton`` on CUDA where triton is installed, else ``sdpa``.

    Raises:
        ConfigError: there is none, or what it needs is not installed.
    """
    if name == "auto":
        name = "triton" if device.type == "cuda" and find_spec("triton") is not None else "sdpa"
    module = f"{__name__}.{name}"
    try:
        return cast(AttentionBackend, import_module(module))
    except ModuleNotFoundError as error:
        if not module.startswith(str(error.name)):
            raise ConfigError(f"attention_backend={name!r}: needs {error.name}, which is not installed") from error
        known = ", ".join(["auto", *(found.name for found in pkgutil.iter_modules(__path__))])
        raise ConfigError(f"attention_backend={name!r}: must be one of {known}") from error


def newest(backend: AttentionBackend, pool: KVPool, block_table: Tensor, length: Tensor, longest: int) -> DecodeStep:
    """The newest token of each row, at position ``length`` (B,) - 1.

    Args:
        block_table: (B, P) int64; blocks beyond ``longest``, the largest length (host integer), are not read.
    """
    table = block_table[:, : -(-longest // pool.block_size)]
    mask = length_mask(length, table.shape[1] * pool.block_size, pool.data.dtype)
    return backend.decode(pool, pool.slots(table, length - 1), table, length, mask)
