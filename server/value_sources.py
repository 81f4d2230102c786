"""Where a value may be loaded from at run time: a folder right under ``--values-dir``, one that ships, or ``--values``.

One of several values in a place is ``place#value``. A request never names a path of its own, only the exact text of
``--values``, which is the operator's. What a name under ``--values-dir`` leads to is checked after symbolic links are
resolved, for the folder and for both files that are read in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mavis_core.api.errors import InvalidRequestError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
SHIPPED = re.compile(r"shipped:[a-z0-9]+")
ONE_OF = "#"
FILES = ("config.json", "model.safetensors")


def value_source(source: str, values_dir: Path | None, started: Sequence[str] = ()) -> str:
    """``source`` of a request as a place to load from (``value_models.loading.value_folders``).

    Args:
        started: the ``--values`` that the server was started with.

    Raises:
        InvalidRequestError: ``source`` may not be loaded, or leads out of ``values_dir``.
    """
    whole, sign, one = source.rpartition(ONE_OF)
    place = whole if sign and NAME.fullmatch(one) else source
    if source in started or place in started or SHIPPED.fullmatch(place):
        return source
    if values_dir is None:
        raise InvalidRequestError(
            f"source={source[:80]!r}: only shipped: names and what --values says, because the server has no "
            "--values-dir",
            "source",
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
