"""Where a value may be loaded from at run time: a folder right under ``--values-dir``, or one that ships.

A request never names a path, and never makes the server download anything. What a name leads to is checked after
symbolic links are resolved, for the folder and for both files that are read in it.
"""

from __future__ import annotations

import re
from pathlib import Path

from mavis_core.errors import InvalidRequestError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
SHIPPED = re.compile(r"shipped:[a-z]+")
FILES = ("config.json", "model.safetensors")


def value_source(source: str, values_dir: Path | None) -> str:
    """``source`` of a request as a path that may be loaded, or a ``shipped:`` name.

    Raises:
        InvalidRequestError: it is neither, or leads out of ``values_dir``.
    """
    if SHIPPED.fullmatch(source):
        return source
    if values_dir is None:
        raise InvalidRequestError(
            f"source={source[:80]!r}: only shipped: names, because the server has no --values-dir", "source"
        )
    if not NAME.fullmatch(source):
        raise InvalidRequestError(
            f"source={source[:80]!r}: must be the name of a folder in the server's values directory: "
            "letters, digits, '.', '_' and '-', at most 100",
            "source",
        )
    root = values_dir.resolve()
    folder = (root / source).resolve()
    files = [(folder / name).resolve() for name in FILES]
    if folder.parent != root or any(file.parent != folder or not file.is_file() for file in files):
        raise InvalidRequestError(f"source={source!r}: no such value in the server's values directory", "source")
    return str(folder)
