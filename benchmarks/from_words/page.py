"""The findings for people: a page of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.comparison.report import table
from benchmarks.from_words.cells import Cell
from benchmarks.from_words.findings import Figures
from benchmarks.words.measures import MEASURES
from value_models.evaluation.bootstrap import Interval

ABOUT = """\
Values that `{model}` taught itself from sentences, served, beside the sentences as objectives in words. {count} prompts
that no value has seen, one answer of at most {tokens} tokens each, T = 1, k = {top_k}, {dtype}. *Moved*: measure less
that of the model left alone, in standard deviations of its answers, towards the objective; *beside words*: that, less
what the words move at the same weight. Nats: steering KL to the model left alone, exact at every position. Intervals:
95 % of a bootstrap over prompts."""
COST = """\
Whole calls of {new_tokens} tokens a row, prompts of {prompt_tokens} tokens included, {rounds} rounds in turn; medians,
and ratios to a row that nothing guides, round by round. A value of any number of objectives costs its one network, each
objective in words a further row."""
STEPS = """\
What making them took: seconds of a clock, of processors, and the most memory that the process had taken by the end of
the step; beside what `mavis fit` had foreseen."""
HEADER = [
    "objective", "by", "weight", "measure", "moved", "beside words", "nats per token", "nats per answer",
    "perplexity under the base", "words", "tokens", "cut off", "empty",
]  # fmt: skip


def page(
    found: Mapping[str, Mapping[Cell, Figures]],
    setting: Mapping[str, Any],
    costs: Mapping[str, Any] | None,
    reports: Mapping[str, Mapping[str, Any]],
) -> str:
    """Markdown.

    Args:
        found: objective -> its cells that are there, the base first.
        costs: what ``benchmarks.prompted`` measures, or None.
        reports: name -> a run's ``report.json``.
    """
    rows = [_row(name, cell, figures) for name, cells in found.items() for cell, figures in cells.items()]
    parts = ["# From sentences to values", ABOUT.format(**setting), table(HEADER, rows)]
    if costs is not None:
        parts += ["## What a token costs", COST.format(**costs), _costs(costs)]
    if reports:
        parts += ["## What they took to make", STEPS, table(*_steps(reports))]
    parts.append(
        "Made by `python -m benchmarks.from_words`; figures, machine and some of the answers: `from_words.json`."
    )
    return "\n\n".join(parts) + "\n"


def _row(objective: str, cell: Cell, figures: Figures) -> list[str]:
    return [
        f"`{objective}` ({MEASURES[objective].label})",
        cell.by or "nothing",
        f"{cell.weight:g}",
        _shown(figures.measure),
        _shown(figures.moved, "+") if cell.by else "",
        _shown(figures.beside_words, "+") if figures.beside_words else "",
        f"{figures.nats_per_token:.3f}",
        f"{figures.nats_per_answer:.1f}",
        f"{figures.perplexity:.2f}",
        f"{figures.words:.1f}",
        f"{figures.tokens:.1f}",
        f"{figures.cut:.2f}",
        f"{figures.empty:.2f}",
    ]


def _costs(costs: Mapping[str, Any]) -> str:
    results = costs["results"]
    arms = list(results[0]["tokens_per_s"])
    header = ["rows", *(f"{arm}, tokens/s" for arm in arms), *(f"{arm} / 0" for arm in arms[1:])]
    lines = [
        [each["rows"], *each["tokens_per_s"].values(), *(each[f"{arm} / 0"] for arm in arms[1:])] for each in results
    ]
    return table(header, lines)


def _steps(reports: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    header = ["run", "step", "foreseen, s", "took, s", "of processors, s", "memory, GB", "what"]
    rows = []
    for name, report in reports.items():
        foreseen = report.get("rollouts", {}).get("forecast", {}).get("seconds", {})
        for step, each in report.items():
            # Tuning beta is foreseen apart, and is a part of training.
            before = foreseen[step] + (foreseen["beta"] if step == "training" else 0) if step in foreseen else None
            did = {key: each[key] for key in ("prompts", "drawn", "tokens_sampled", "epochs") if key in each}
            rows.append(
                [
                    name,
                    step,
                    "" if before is None else f"{before:.0f}",
                    f"{each['seconds']:.0f}",
                    f"{each.get('cpu_seconds', float('nan')):.0f}",
                    f"{each.get('memory_gb', float('nan')):.1f}",
                    ", ".join(f"{key} {value:,}" for key, value in did.items()),
                ]
            )
    return header, rows


def _shown(figure: Interval, sign: str = "") -> str:
    digits = 1 if abs(figure.estimate) >= 10 else 3
    estimate, low, high = (f"{each:{sign}z.{digits}f}" for each in figure[:3])
    return f"{estimate} [{low}, {high}]"
