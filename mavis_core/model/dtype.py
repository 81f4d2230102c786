"""The dtype that ``auto`` stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

CPU_INFO = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86 with tiles, ARM


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype | str:
    """A dtype by its name, or "auto": as the model was saved, see ``settle``.

    On a CPU without instructions for bfloat16 "auto" is float32, exact and faster there. On any CPU "float16" is
    float32, too: only weights are kept in 16 bits there, see ``rounds_weights``.
    """
    if dtype == "float16" and device.type == "cpu":
        return torch.float32
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" and not cpu_has_bfloat16() else "auto"
    found: torch.dtype = getattr(torch, dtype)
    return found


def rounds_weights(dtype: str, device: torch.device, from_gguf: bool) -> bool:
    """Whether weights are rounded to float16 when they are packed, while everything is computed in float32.

    Of what was saved in 16 bits nothing is lost. What a GGUF file has in fewer bits is scaled by numbers of 16, so that
    it is off by a sixteenth of what bfloat16 would make of it, which it is served in where a CPU has that.
    """
    return device.type == "cpu" and (dtype == "float16" or (dtype == "auto" and from_gguf and not cpu_has_bfloat16()))


def settle(model: Any, device: torch.device, from_gguf: bool) -> Any:
    """A model that was loaded in "auto", so as it was saved, in the dtype that it is served in.

    What was saved in float32 stays so: it is small, or somebody wants it exact. Anything narrower, blocks of a GGUF
    file among it, is bfloat16; float16 stays on a GPU, a CPU has no fast instructions for it.
    """
    narrow = from_gguf or (model.dtype == torch.float16 and device.type == "cpu")
    return model.to(torch.bfloat16) if narrow else model


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware, as Linux says; elsewhere no."""
    lines = CPU_INFO.read_text(errors="replace").splitlines() if CPU_INFO.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not BF16_FLAGS.isdisjoint(flags.partition(":")[2].split())
