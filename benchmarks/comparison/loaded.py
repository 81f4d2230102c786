"""The model that a benchmark measures, on its device and threads."""

from __future__ import annotations

from pathlib import Path

import torch
import typer

from mavis_core.model.policy import Policy, resolve_device
from mavis_core.model.threads import set_threads

DTYPES = ("float32", "bfloat16", "float16")


def dtype_named(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise typer.BadParameter(f"--dtype {name}: must be one of {', '.join(DTYPES)}")
    found: torch.dtype = getattr(torch, name)
    return found


def load(model: str, dtype: str, device: str, threads: int | None) -> Policy:
    """A policy as it is served, known by its folder's name; the process then computes with ``threads``, or as many as
    torch takes."""
    policy = Policy.load(model, resolve_device(device), dtype_named(dtype), Path(model).name)
    set_threads(threads or torch.get_num_threads(), policy.model)
    policy.pack()
    return policy
