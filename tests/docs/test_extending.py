"""The files that docs/extending.md sends people to exist, and have what it says is in them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import prose

PAGE = Path("docs/extending.md")
NAMED = re.findall(r"`((?:mavis_core|server|value_models|tests|examples)/[\w./]*)`", prose(PAGE))


def test_the_files_exist() -> None:
    assert len(NAMED) > 20
    assert [path for path in NAMED if not Path(path).exists()] == []


def test_names_are_in_the_files_that_stand_beside_them() -> None:
    beside = re.findall(r"`(\w+)`\s+\(`([\w/]+\.py)`", prose(PAGE))
    beside += re.findall(r"of `(\w+)` in `([\w/]+\.py)`", prose(PAGE))
    assert len(beside) >= 7
    assert [
        (name, path) for name, path in beside if not re.search(rf"(class|def) {name}\b", Path(path).read_text())
    ] == []
