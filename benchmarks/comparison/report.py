"""What a run leaves: one JSON file with the machine that it was measured on, and a picture beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from benchmarks.machine import describe

Report = dict[str, Any]


def report(benchmark: str, results: Any, **setting: Any) -> Report:
    """``results`` with what they were measured on and how."""
    return {"benchmark": benchmark, **setting, "machine": describe(), "results": results}


def write(found: Report, out: Path | None) -> None:
    """Write the file, if one is asked for."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2) + "\n")


def write_and_draw(found: Report, out: Path | None, draw: Callable[[Report, Path], None]) -> None:
    """The file, and its picture under the same name as SVG."""
    write(found, out)
    if out is not None:
        draw(found, out.with_suffix(".svg"))


def again(out: Path | None, draw: Callable[[Report, Path], None], tables: Callable[[Report], str]) -> None:
    """Draw and tabulate a file that is there already."""
    if out is None:
        raise typer.BadParameter("--redraw needs --out")
    found: Report = json.loads(out.read_text())
    draw(found, out.with_suffix(".svg"))
    print(tables(found))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown, for the page that shows the results."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
