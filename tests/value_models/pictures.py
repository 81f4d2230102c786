"""Pictures are blank in most tests: drawing those of a run takes longer than training a value as small as these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

_SAVE = Figure.savefig


@contextmanager
def blank() -> Iterator[None]:
    """Figures are made as always and saved as empty files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _touch)
        yield


@contextmanager
def drawn() -> Iterator[None]:
    """Within ``blank``: as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _SAVE)
        yield


def _touch(figure: Figure, path: Path, **settings: Any) -> None:
    path.touch()
