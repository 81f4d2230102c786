"""Groups of bars beside each other: one group for each number of rows, one bar for each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def draw_bars(panels: Mapping[str, Mapping[str, Mapping[str, float]]], label: str, path: Path) -> None:
    """Write an SVG.

    Args:
        panels: title -> arm -> group -> height; an arm may lack groups.
        label: of the vertical axis.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    colours = colormaps["tab20"]
    figure = Figure(figsize=(4.6 * len(panels), 4), layout="constrained")
    shown: dict[str, Any] = {}
    for panel, (title, arms) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True):
        groups = list(dict.fromkeys(group for heights in arms.values() for group in heights))
        for i, (arm, heights) in enumerate(arms.items()):
            colour = shown[arm].patches[0].get_facecolor() if arm in shown else colours(len(shown) % colours.N)
            at = _places(groups, heights, i, len(arms))
            bars = panel.bar(at, heights.values(), 0.8 / len(arms), color=colour)
            shown.setdefault(arm, bars)
        panel.set_xticks(range(len(groups)), groups)
        panel.set_title(title, fontsize=10)
        panel.grid(axis="y", linewidth=0.3)
    figure.axes[0].set_ylabel(label)
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=3, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _places(groups: Sequence[str], heights: Mapping[str, float], arm: int, arms: int) -> list[float]:
    """Where the bars of one arm stand: all arms share 0.8 around the middle of a group."""
    return [groups.index(group) + 0.8 * ((arm + 0.5) / arms - 0.5) for group in heights]
