"""The evaluation's two pictures, as PNG and SVG: reward against KL, and fronts at matched KL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from value_models.evaluation.config import EvaluationConfig
from value_models.evaluation.findings import Findings
from value_models.evaluation.matched import front
from value_models.evaluation.points import BASE
from value_models.evaluation.table import Table


def draw_curves(table: Table, config: EvaluationConfig, folder: Path) -> None:
    """``curves``: one row per axis and one column per share; mean reward over steering KL, one line per arm."""
    from matplotlib.figure import Figure

    grid, styles = config.grid, _styles(table.arms)
    figure = Figure(figsize=(1.2 + 2.4 * len(grid), 0.8 + 2.4 * len(config.axes)), layout="constrained")
    panels = figure.subplots(len(config.axes), len(grid), squeeze=False, sharex=True, sharey="row")
    base = table.rewards[0].mean(axis=0)
    for row, axis in enumerate(config.axes):
        m = list(config.rewards).index(axis)
        for column, share in enumerate(grid):
            panel = panels[row][column]
            for arm in table.arms:
                own = table.curves(arm).get(share, [])
                if not own:
                    continue
                kl, reward = table.steering[own].mean(axis=1), table.rewards[own, :, m].mean(axis=1)
                order = np.argsort(kl)
                panel.plot([0, *kl[order]], [base[m], *reward[order]], marker=".", **styles[arm])
            panel.axhline(base[m], color="grey", linewidth=0.5)
            if row == 0:
                panel.set_title(f"weight of {config.axes[0]}: {share:g}", fontsize=9)
            if row == len(config.axes) - 1:
                panel.set_xlabel("steering KL, nats per response", fontsize=8)
        panels[row][0].set_ylabel(f"{axis}, z-units")
    _legend(figure, styles)
    _save(figure, folder / "curves")


def draw_fronts(findings: Findings, config: EvaluationConfig, folder: Path) -> None:
    """``fronts``: one panel per budget; points that no other of the arm beats joined, hollow where less is spent."""
    from matplotlib.figure import Figure

    styles = _styles([arm for arm in dict.fromkeys(each.arm for each in findings.matched) if arm != BASE])
    figure = Figure(figsize=(1 + 3 * len(config.budgets), 4.2), layout="constrained")
    panels = figure.subplots(1, len(config.budgets), squeeze=False, sharex=True, sharey=True)[0]
    for panel, budget in zip(panels, config.budgets, strict=True):
        for found in (each for each in findings.matched if each.budget == budget):
            has = ~np.isnan(found.points).any(axis=1)
            points, reached = found.points[has], np.array(found.reached)[has]
            if found.arm == BASE:
                panel.plot(*points[0], "k*")
                continue
            own = points[front(points)]
            own = own[np.argsort(own[:, 0])]
            panel.plot(own[:, 0], own[:, 1], **styles[found.arm])
            colour = styles[found.arm]["color"]
            panel.scatter(*points[reached].T, s=14, color=colour)
            panel.scatter(*points[~reached].T, s=14, facecolors="none", edgecolors=colour)
        panel.plot(*config.reference_point, "x", color="grey")
        panel.set(title=f"{budget:g} nats per response", xlabel=f"{config.axes[0]}, z-units")
    panels[0].set_ylabel(f"{config.axes[1]}, z-units")
    _legend(figure, styles, (BASE, {"color": "k", "marker": "*", "linestyle": ""}))
    _save(figure, folder / "fronts")


def _styles(arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The look of each arm's line: ten colours, then the same ones dashed, then dotted."""
    lines = ("-", "--", ":")
    return {arm: {"color": f"C{i % 10}", "linestyle": lines[i // 10 % 3]} for i, arm in enumerate(arms)}


def _legend(figure: Any, styles: dict[str, dict[str, Any]], *others: tuple[str, dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    shown = [Line2D([], [], label=name, **style) for name, style in (*others, *styles.items())]
    figure.legend(handles=shown, loc="outside lower center", ncols=8, fontsize=8)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("png", "svg"):
        figure.savefig(path.with_suffix(f".{suffix}"), dpi=130)
