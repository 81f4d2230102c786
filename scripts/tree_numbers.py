"""What the source tree looks like in numbers, a column per package, as a Markdown table.

    python -m scripts.tree_numbers                 # of this checkout
    python -m scripts.tree_numbers --before PATH   # of another one, and what has changed since

Lines are all lines of a file. A parameter counts as typed where it is annotated; ``self`` and ``cls`` do not count.
"""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

PACKAGES = ("mavis_core", "value_models", "server", "tests")
LONG = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


def numbers(package: Path) -> dict[str, str]:
    """Label -> figure of all Python files below ``package``."""
    files = {path: path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    lines = {path: text.count("\n") for path, text in files.items()}
    functions = {
        path: [n for n in ast.walk(ast.parse(text)) if isinstance(n, Function)] for path, text in files.items()
    }
    lengths = {(path, f.name, f.lineno): length(f) for path, found in functions.items() for f in found}
    typed = [is_typed for found in functions.values() for f in found for is_typed in annotated(f)]
    folder, most = Counter(path.parent for path in files).most_common(1)[0]
    longest, (where, name, _) = max(lines, key=lines.__getitem__), max(lengths, key=lengths.__getitem__)
    return {
        "lines": f"{sum(lines.values()):,}",
        "files": str(len(files)),
        "median file": f"{statistics.median(n for n in lines.values() if n > 1):.0f}",
        "longest file": f"{lines[longest]} ({longest.name})",
        "most files in a folder": f"{most} ({folder.relative_to(package.parent)})",
        "longest function": f"{max(lengths.values())} ({where.name}: {name})",
        f"functions over {LONG} lines": str(sum(n > LONG for n in lengths.values())),
        "typed parameters": f"{100 * sum(typed) / max(len(typed), 1):.1f} %",
    }


def length(function: Function) -> int:
    """Lines from ``def`` to its end, without the docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        whole -= (first.end_lineno or first.lineno) - first.lineno + 1
    return whole


def annotated(function: Function) -> list[bool]:
    """Of each parameter but ``self`` and ``cls``, whether it has an annotation."""
    given = function.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return [p.annotation is not None for p in parameters if p.arg not in ("self", "cls")]


def table(root: Path, before: Path | None = None) -> str:
    columns = [numbers(root / package) for package in PACKAGES]
    if before is not None:
        columns = [changed(numbers(before / package), now) for package, now in zip(PACKAGES, columns, strict=True)]
    rows = [["", *PACKAGES], ["---"] * (len(PACKAGES) + 1)]
    rows += [[label, *(column[label] for column in columns)] for label in columns[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def changed(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    return {
        label: f"{before[label]} → {figure}" if before[label] != figure else figure for label, figure in now.items()
    }


def main(
    root: Annotated[Path, typer.Option(help="Of a checkout.")] = Path(),
    before: Annotated[Path | None, typer.Option(help="Of an earlier one.")] = None,
) -> None:
    print(table(root, before))


if __name__ == "__main__":
    typer.run(main)
