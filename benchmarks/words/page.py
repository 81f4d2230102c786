"""The findings for people: a page of tables, and a picture of each measure against what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.words.cells import BASE, Cell
from benchmarks.words.findings import Figures, Verdict
from benchmarks.words.measures import MEASURES
from value_models.evaluation.bootstrap import Interval

Rows = Mapping[Cell, Figures]
COLUMNS = ((-1.0, "−1"), (0.0, "0"), (1.0, "1"), (2.0, "2"), (3.0, "3"), (None, "told"))
ABOUT = """\
What each objective in words does to an answer, beside the same words in the system message (*told*). {count} prompts,
one answer of at most {tokens} tokens each, T = 1, k = {top_k}, `{model}` in {dtype}. Nats are steering KL to the model
that is left alone, exact at every position; a told model's, too. Intervals: 95 % of a bootstrap over prompts. How each
measure can be fooled stands in [Training](../../../docs/training.md#rewards)."""
VERDICTS = """\
Weight 1 is the told model itself, but for tokens that are not among the k of the model left alone: what may be lost at
equal KL is what those are worth, and what may be gained lies beyond. At equal KL: the measure at the told model's nats
per answer, interpolated along the weights, less the told model's, in the direction of the objective. *No worse*: the
whole interval lies above −{margin:g} standard deviations of the base's answers. Beyond: the measure at greater weights
less the told model's; it *goes on* where one interval lies above 0. Avoided: how far weight −1 moves the measure the
other way."""


def cell_of(objective: str, weight: float | None) -> Cell:
    return BASE if weight == 0 else Cell(objective, weight)


def page(found: Mapping[str, Rows], verdicts: Mapping[str, Verdict | None], setting: Mapping[str, Any]) -> str:
    """Markdown: measures, what became of the comparison, costs.

    Args:
        found: objective -> its cells that are there.
        setting: count, tokens, model, dtype, top_k, margin.
    """
    parts = [
        "# Objectives in words",
        ABOUT.format(**setting),
        _table(["objective", "measure", *(label for _, label in COLUMNS)], _measures(found)),
        VERDICTS.format(**setting),
        _table(
            ["objective", "at equal KL", "", "beyond", "", "avoided"],
            [_verdict(name, verdict) for name, verdict in verdicts.items()],
        ),
        "![measure against steering KL](words.png)",
        "## What it costs",
        _table(
            ["objective", "weight", "nats per token", "nats per answer", "truncation per token", "perplexity under the "
             "base", "distinct-2", "words", "tokens", "cut off", "empty"],
            [row for name, rows in found.items() for row in _costs(name, rows)],
        ),
        "Distinct-2 falls with the amount of text. *Cut off*: share of answers that the limit ended. Made by "
        "`python -m benchmarks.words`; figures, machine and some of the answers: `words.json`.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def draw(found: Mapping[str, Rows], path: Path) -> None:
    """PNG and SVG: one panel per objective, the weights joined, the told model a star; avoided lies to the left."""
    from matplotlib.figure import Figure

    wide = 5 if len(found) > 4 else len(found)
    tall = -(-len(found) // wide)
    figure = Figure(figsize=(2.9 * wide, 2.7 * tall), layout="constrained")
    panels = figure.subplots(tall, wide, squeeze=False).flat
    for panel, (name, rows) in zip(panels, found.items(), strict=False):
        steered = [(w, rows[cell]) for w, _ in COLUMNS if w is not None and (cell := cell_of(name, w)) in rows]
        x = [f.steering_per_answer * (-1 if w < 0 else 1) for w, f in steered]
        panel.errorbar(x, [f.measure.estimate for _, f in steered], yerr=_bars(f for _, f in steered), marker=".")
        for at, (weight, figures) in zip(x, steered, strict=True):
            panel.annotate(f"{weight:g}", (at, figures.measure.estimate), textcoords="offset points", xytext=(4, 4))
        if (told := rows.get(Cell(name))) is not None:
            spot = (told.steering_per_answer, told.measure.estimate)
            panel.errorbar(*spot, yerr=_bars([told]), marker="*", markersize=10, color="C1")
        panel.axvline(0, color="grey", linewidth=0.5)
        panel.set_title(name, fontsize=10)
        panel.set_ylabel(MEASURES[name].label, fontsize=8)
    for panel in list(figure.axes)[len(found) :]:
        panel.set_visible(False)
    figure.supxlabel("steering KL, nats per answer; left of 0: weight −1; star: told in the system message", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("png", "svg"):
        figure.savefig(path.with_suffix(f".{suffix}"), dpi=120)


def _bars(figures: Any) -> list[list[float]]:
    measures = [each.measure for each in figures]
    return [[m.estimate - m.low for m in measures], [m.high - m.estimate for m in measures]]


def _measures(found: Mapping[str, Rows]) -> list[list[str]]:
    rows = []
    for name, cells in found.items():
        shown = [cells.get(cell_of(name, weight)) for weight, _ in COLUMNS]
        rows.append([f"`{name}`", MEASURES[name].label, *(_shown(each.measure) if each else "" for each in shown)])
    return rows


def _verdict(name: str, verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return [f"`{name}`", "not all there yet", "", "", "", ""]
    beyond = "; ".join(f"{weight}: {_shown(each, '+')}" for weight, each in verdict.beyond.items())
    equal = _shown(verdict.at_equal, "+") if verdict.at_equal else ""
    avoids = _shown(verdict.avoids, "+")
    return [f"`{name}`", f"**{verdict.equal_outcome}**", equal, f"**{verdict.beyond_outcome}**", beyond, avoids]


def _costs(name: str, cells: Rows) -> list[list[str]]:
    rows = []
    for weight, label in COLUMNS:
        if (figures := cells.get(cell_of(name, weight))) is None:
            continue
        numbers = [
            f"{figures.steering_per_token:.3f}",
            f"{figures.steering_per_answer:.1f}",
            f"{figures.truncation_per_token:.3f}",
            f"{figures.perplexity:.2f}",
            f"{figures.distinct2:.3f}",
            f"{figures.words:.1f}",
            f"{figures.tokens:.1f}",
            f"{figures.cut:.2f}",
            f"{figures.empty:.2f}",
        ]
        rows.append([f"`{name}`", label, *numbers])
    return rows


def _shown(figure: Interval, sign: str = "") -> str:
    digits = 1 if abs(figure.estimate) >= 10 else 3
    estimate, low, high = (f"{each:{sign}z.{digits}f}" for each in figure[:3])
    return f"{estimate} [{low}, {high}]"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
