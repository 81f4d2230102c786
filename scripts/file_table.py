"""The table of every file in docs/architecture.md, made of the first sentences of the modules' docstrings.

    python -m scripts.file_table            # writes it anew

A test calls ``table`` and compares, so a module's docstring is the only place where its purpose is told.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path("docs/architecture.md")
PACKAGES = ("mavis_core", "value_models", "server")
HEADING = "## Every file\n"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])|\n\n")


def purpose(module: Path) -> str:
    """The first sentence of a module's docstring on one line, as Markdown."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    sentence = SENTENCE_END.split(docstring)[0]
    return " ".join(sentence.replace("``", "`").split()).removesuffix(".").replace("|", "\\|")


def modules(package: str) -> Iterator[Path]:
    """Files of a folder before its sub-folders, each folder's ``__init__.py`` first."""
    files = Path(package).rglob("*.py")
    yield from sorted(files, key=lambda path: (path.parent.parts, path.name != "__init__.py", path.name))


def table() -> str:
    """The section below ``HEADING``."""
    parts = []
    for package in PACKAGES:
        rows = [f"| `{path.relative_to(package)}` | {purpose(path)} |" for path in modules(package)]
        parts.append("\n".join([f"### {package}\n", "| file | what it is |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    before, _, _ = PAGE.read_text(encoding="utf-8").partition(HEADING)
    PAGE.write_text(f"{before}{HEADING}\n{table()}", encoding="utf-8")


if __name__ == "__main__":
    main()
