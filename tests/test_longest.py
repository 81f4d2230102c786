from __future__ import annotations

from pathlib import Path

from tests.conftest import LONGEST


def test_the_files_that_come_first_are_there() -> None:
    assert [path for path in LONGEST if not (Path(__file__).parents[1] / path).is_file()] == []
