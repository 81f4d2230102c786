"""Which version of this project runs."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache  # it is read from a file, which a server without a free descriptor cannot open
def package_version() -> str:
    try:
        return version("mavis-server")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+checkout"
