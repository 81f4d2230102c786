"""The first answers of every cell, as they came, for people to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.from_words.cells import Cell
from benchmarks.from_words.findings import Figures
from value_models.prompts import Prompt

ABOUT = """\
The first answers of every cell in the order of the prompts, none left out: `{model}` in {dtype}, T = 1, k = {top_k}, at
most {tokens} tokens, the same noise in every cell."""


def answers_page(
    found: Mapping[str, Mapping[Cell, Figures]], prompts: Sequence[Prompt], setting: Mapping[str, Any]
) -> str:
    """Markdown, by prompt within each objective.

    Args:
        found: objective -> its cells that are there.
        prompts: as many as there are answers, at least.
    """
    parts = ["# Answers", ABOUT.format(**setting)]
    for name, cells in found.items():
        parts.append(f"## {name}")
        for i in range(min(len(figures.first) for figures in cells.values())):
            lines = [f"{_shown(cell)}: {_line(figures.first[i])}" for cell, figures in cells.items()]
            parts.append("\n".join([f"**{_line(prompts[i].text)}**", "", *(f"- {line}" for line in lines)]))
    return "\n\n".join(parts) + "\n"


def _shown(cell: Cell) -> str:
    return f"`{cell.by} {cell.weight:g}`" if cell.by else "`nothing`"


def _line(text: str) -> str:
    """Text on one line, without anything that Markdown would take for its own."""
    return "`` " + " ⏎ ".join(text.replace("`", "'").split("\n")) + " ``"
