"""The model that a benchmark measures, on its device and threads."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
import typer

from mavis_core.api.config import DType, EngineConfig
from mavis_core.model.compilation import compile_beside, worthwhile
from mavis_core.model.policy import Policy
from mavis_core.model.threads import set_threads
from value_models.loading import load_policy

DTYPES = ("float32", "bfloat16", "float16")


def load(model: str, dtype: str, device: str, threads: int | None) -> Policy:
    """A policy as it is served once it has been for a while, known by its folder's name; the process then computes with
    ``threads``, or as many as torch takes."""
    if dtype not in DTYPES:
        raise typer.BadParameter(f"--dtype {dtype}: must be one of {', '.join(DTYPES)}")
    policy = load_policy(model, EngineConfig(dtype=cast(DType, dtype), device=device), Path(model).name)
    set_threads(threads or torch.get_num_threads(), policy.model)
    if worthwhile(policy.backbone):
        compile_beside(policy.backbone).join()
    return policy
