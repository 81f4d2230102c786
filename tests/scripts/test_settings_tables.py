from __future__ import annotations

from scripts.settings_tables import AFTER, FIRST, PAGE, tables


def test_every_setting_is_documented_in_its_own_words() -> None:
    """``python -m scripts.settings_tables`` writes it."""
    page = PAGE.read_text(encoding="utf-8")
    assert page[page.index(FIRST) : page.index(AFTER)] == tables()


def test_marks_of_markdown_are_text() -> None:
    assert "| \\* |" in tables() and "\\<model>" in tables()
