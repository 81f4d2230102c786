from __future__ import annotations

from pathlib import Path

from scripts.tree_numbers import changed, numbers

LONG = "def long():\n" + '    """Told\n    at length."""\n' + "    pass\n" * 41
SHORT = "class A:\n    def one(self, a: int, b, *c: int, **d):\n        pass\n"


def test_numbers_of_a_small_tree(tmp_path: Path) -> None:
    package = tmp_path / "pack"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text('"""Nothing."""\n')
    (package / "long.py").write_text(LONG)
    for name in ("a", "b"):
        (package / "deep" / f"{name}.py").write_text(SHORT)
    assert numbers(package) == {
        "lines": "51",
        "files": "4",
        "median file": "3",
        "longest file": "44 (long.py)",
        "most files in a folder": "2 (pack)",
        "longest function": "42 (long.py: long)",
        "functions over 40 lines": "1",
        "typed parameters": "50.0 %",
    }


def test_what_has_changed() -> None:
    assert changed({"files": "3", "lines": "70"}, {"files": "3", "lines": "64"}) == {"files": "3", "lines": "70 → 64"}
