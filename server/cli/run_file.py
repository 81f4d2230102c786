"""The YAML file that a command works on, beside which lie the modules that its rewards may name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mavis_core.api.errors import RunError

if TYPE_CHECKING:
    from value_models.training.run import Run


@contextmanager
def run_file(path: Path) -> Iterator[None]:
    """Raises RunError where the system refuses something: an unwritable folder, a full disk."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # ours are enough
    sys.path.insert(0, str(path.resolve().parent))
    try:
        yield
    except OSError as error:
        raise RunError(str(error)) from error


@contextmanager
def a_run(path: Path) -> Iterator[Run]:
    """The run of a YAML file."""
    with run_file(path):
        from value_models.training.run import Run
        from value_models.training.run_config import load_config

        yield Run(load_config(path), say=typer.echo)
