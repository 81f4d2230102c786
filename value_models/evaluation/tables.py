"""The evaluation's figures as CSV: every point that was sampled, and every arm at matched KL."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from value_models import durable
from value_models.evaluation.bootstrap import Interval
from value_models.evaluation.config import EvaluationConfig
from value_models.evaluation.findings import Findings
from value_models.evaluation.table import Table


def write_points(path: Path, table: Table, config: EvaluationConfig) -> None:
    """Means per response of every point."""
    names = list(config.rewards)
    header = ["arm", *(f"weight_{axis}" for axis in config.axes), "strength", "steering_nats", "truncation_nats"]
    header += ["tokens", "drawn", "seconds", "perplexity", "distinct2", *names]
    rows = []
    for i, point in enumerate(table.points):
        weights = point.weights(config.axes)
        row = [point.arm, *(weights.get(axis, 0.0) for axis in config.axes), point.strength]
        priced = (table.steering, table.truncation, table.tokens, table.drawn, table.seconds)
        row += [float(each[i].mean()) for each in priced]
        row += [table.perplexity(i), float(table.distinct2[i]), *table.rewards[i].mean(axis=0).tolist()]
        rows.append(row)
    _write(path, header, rows)


def write_matched(path: Path, findings: Findings, config: EvaluationConfig) -> None:
    """Rewards of every arm, budget and share; where a budget is not reached, those of the strongest point."""
    header = ["arm", "budget_nats", "share", "reached", *config.axes]
    for name in ("hypervolume", "weighted_reward", "regret"):
        header += [name, f"{name}_low", f"{name}_high", f"{name}_bound"]
    rows = []
    for found in findings.matched:
        figures = [*found.measures.values(), found.regret]
        for share, reached, point in zip(config.grid, found.reached, found.points.tolist(), strict=True):
            rewards = ["" if math.isnan(x) else x for x in point]  # a share that the arm does not have
            rows.append([found.arm, found.budget, share, reached, *rewards, *(x for f in figures for x in _cells(f))])
    _write(path, header, rows)


def _cells(figure: Interval | None) -> Sequence[Any]:
    return ("", "", "", "") if figure is None else figure


def _write(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])

    durable.replace(path, write)
