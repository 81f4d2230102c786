from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models import save_tiny_llama
from tests.value_models.pictures import blank, drawn


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a tiny Llama."""
    save_tiny_llama(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="package", autouse=True)
def blank_pictures() -> Iterator[None]:
    with blank():
        yield


@pytest.fixture
def drawn_pictures() -> Iterator[None]:
    """For tests that look at pictures."""
    with drawn():
        yield
