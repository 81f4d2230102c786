from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import save_tiny_llama


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a tiny Llama."""
    save_tiny_llama(tmp_path / "model")
    return tmp_path / "model"
