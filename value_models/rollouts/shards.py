"""Forests on disk: safetensors, one file per shard of fixed composition, never pickle, never half a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mavis_core.api.errors import RunError
from value_models import durable
from value_models.rollouts.forest import Forest

PULL = "pull"
"""Only in shards whose trees have weights of their own."""
NARROW = {"tail": np.uint8, "finish": np.uint8, "layer": np.int16}
MANIFEST = "manifest.json"


def shard_path(folder: Path, index: int) -> Path:
    return folder / f"shard-{index:05d}.safetensors"


def write_shard(path: Path, forest: Forest, metadata: Mapping[str, Any]) -> None:
    """The same forest and metadata give the same bytes."""
    arrays = {}
    for f in fields(Forest):
        if f.name == PULL and not forest.tilt_weights.shape[1]:
            continue
        array = getattr(forest, f.name)
        floats = array.dtype == np.float32
        arrays[f.name] = array if floats else array.astype(NARROW.get(f.name, np.int32))
    write_arrays(path, arrays, metadata)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> None:
    """Arrays and, under the one key "about" (the order of several would be random), what they came from."""
    about = {"about": json.dumps(metadata, sort_keys=True)}
    durable.replace(path, lambda part: save_file(dict(arrays), part, metadata=about))


def read_shard(path: Path) -> Forest:
    """A shard that ``write_shard`` wrote.

    Raises:
        RunError: the file is damaged or something else.
    """
    names = [f.name for f in fields(Forest)]
    arrays = read_arrays(path, [name for name in names if name != PULL], [PULL])
    arrays.setdefault(PULL, np.zeros((len(arrays["parent"]), 0), dtype=np.float32))
    wide: dict[str, Any] = {n: a if a.dtype == np.float32 else a.astype(np.int64) for n, a in arrays.items()}
    return Forest(**wide)


def read_arrays(path: Path, names: Sequence[str], perhaps: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Exactly the arrays ``names`` of a safetensors file, and all or none of ``perhaps``.

    Raises:
        RunError: naming the file.
    """
    if not path.exists():
        raise RunError(f"{path}: is not there; the step that makes it has not been run, or not to its end")
    try:
        with safe_open(path, framework="numpy") as file:
            found = set(file.keys())
            if found not in (set(names), {*names, *perhaps}):
                raise RunError(f"{path}: has {sorted(found)}, not {sorted(names)}")
            return {name: file.get_tensor(name) for name in found}
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: {error}; remove it and run the same command again to make it anew") from error
