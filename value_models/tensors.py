"""Tensors of a value's folder: read them checked, and give each module its own. Safetensors only, never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mavis_core.api.errors import LoadError
from value_models.value_config import WEIGHTS_FILE


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a value's folder.

    Raises:
        LoadError: naming the file, which is missing or damaged or holds numbers that are not finite.
    """
    try:
        tensors: dict[str, Tensor] = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise LoadError(f"{folder / WEIGHTS_FILE}: {error}") from error
    check_finite(tensors, str(folder / WEIGHTS_FILE))
    return tensors


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are not numbers: they would silently count as no steering.

    Raises:
        LoadError: naming ``source`` and the tensors.
    """
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise LoadError(f"{source}: {', '.join(broken)}: has numbers that are not finite")


def weight_files(folder: Path) -> list[Path]:
    """All safetensors of a value or of a model, whatever their number."""
    return sorted(folder.glob("*.safetensors"))


def load_parts(tensors: Mapping[str, Tensor], modules: Mapping[str, nn.Module]) -> None:
    """Give every module the tensors under its name and a dot; there must be no others and none missing.

    Raises:
        ValueError, RuntimeError: naming what is too much, missing or of another shape.
    """
    expected = parts(modules)
    if unknown := [name for name in tensors if name not in expected]:
        raise ValueError(f"unknown tensors {', '.join(unknown)}")
    if missing := [name for name in expected if name not in tensors]:
        raise ValueError(f"missing tensors {', '.join(missing)}")
    for prefix, module in modules.items():
        dot = prefix + "."
        own = {name.removeprefix(dot): tensor for name, tensor in tensors.items() if name.startswith(dot)}
        module.load_state_dict(own, strict=False)


def save_parts(folder: Path, modules: Mapping[str, nn.Module]) -> None:
    """Write the tensors of every module under its name and a dot."""
    save_file({name: tensor.contiguous() for name, tensor in parts(modules).items()}, folder / WEIGHTS_FILE)


def parts(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Tensors by name; of tied ones, which share memory, the first."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, module in modules.items():
        for name, tensor in module.state_dict().items():
            if tensor.numel() and tensor.data_ptr() in seen:
                continue
            seen.add(tensor.data_ptr())
            found[f"{prefix}.{name}"] = tensor
    return found
