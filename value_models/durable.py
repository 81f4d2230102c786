"""Files that are whole or absent: written beside their place, flushed to the disk, then renamed over it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mavis_core.api.errors import RunError


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Have ``write`` make a file at the path it is given, and put it at ``path`` in one step.

    Raises:
        RunError: naming the file, which the folder or the disk does not take; what was at ``path`` is still there.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except (OSError, SafetensorError, RuntimeError) as error:  # torch.save tells of a full disk by RuntimeError
        raise RunError(f"{path}: cannot be written: {error}") from error


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    text = json.dumps(data, indent=2) + "\n"
    replace(path, lambda part: part.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """An object.

    Raises:
        RunError: naming the file.
    """
    if not path.exists():
        raise RunError(f"{path}: is not there; the step that makes it has not been run")
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: {error}") from error
    return data


def write_or_match(path: Path, data: Mapping[str, Any]) -> None:
    """Write a manifest, or check that the one that is there says the same: what is resumed must be what was begun.

    Raises:
        RunError: naming the keys that differ.
    """
    if not path.exists():
        write_json(path, data)
    elif told := differences(read_json(path), data):
        raise RunError(f"{path.parent}: was begun with other settings ({told}); choose another folder or remove it")


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Keys that differ, with what they are there and now; "" where all is the same once written as JSON."""
    plain = json.loads(json.dumps(wanted))
    differ = sorted(key for key in plain.keys() | found.keys() if plain.get(key) != found.get(key))
    return "; ".join(f"{key}: {found.get(key)!r} there, {plain.get(key)!r} now" for key in differ)
