"""Objectives in words on a real model: every one that ships, at −1, 0, 1, 2 and 3, beside the same words as a prompt.

    python -m benchmarks.words --model path/to/SmolLM2-135M-Instruct
    python -m benchmarks.words --model owner/model --prompts 4 --tokens 12 --objectives cheerful,concise
    python -m benchmarks.words --model owner/model --minutes 30        goes on where the last call stopped

The answers of each cell (an objective at a weight, or told) are one file below ``--folder``, written when the cell is
done; those that are there are not asked again. After the last one, or the last for which there was time, the page, the
picture and the figures of all that is there are written to ``--out``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import describe
from benchmarks.words.cells import BASE
from benchmarks.words.findings import MARGIN, Figures, Findings, Verdict
from benchmarks.words.measures import MEASURES
from benchmarks.words.page import draw, page
from benchmarks.words.sample import Run
from mavis_core.api.config import DType, EngineConfig
from server.objectives.declared import SHIPPED, Declared
from value_models.loading import load_policy
from value_models.prompts import read_prompts

PROMPTS = Path(__file__).with_name("prompts.jsonl")
OUT = Path("benchmarks/results/words")


def chosen(names: str | None) -> dict[str, str]:
    """Name -> instruction of those that ship and are measured, or of the ones asked for."""
    ship = {name: each.instruction for name, each in Declared.read([SHIPPED], False).shipped.items()}
    measured = [name for name in ship if name in MEASURES]
    wanted = names.split(",") if names else measured
    if unknown := [name for name in wanted if name not in measured]:
        raise typer.BadParameter(f"--objectives: {unknown[0]!r}: must be among {', '.join(measured)}")
    return {name: ship[name] for name in wanted}


def report(run: Run, out: Path) -> None:
    """Write the page, the picture and the figures of all cells that are there."""
    answers = run.found()
    findings = Findings(run.prompts, answers, run.seed)
    figures = {
        name: {cell: findings.figures(cell, name) for cell in answers if cell.objective in ("", name)}
        for name in run.objectives
    }
    verdicts = {name: findings.verdict(name) for name in run.objectives}
    dtype = str(run.policy.dtype).removeprefix("torch.")
    setting = {
        "count": len(run.prompts),
        "tokens": run.tokens,
        "model": Path(run.policy.name).name,
        "dtype": dtype,
        "top_k": run.top_k,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "README.md").write_text(page(figures, verdicts, {**setting, "margin": MARGIN}), encoding="utf-8")
    draw(figures, out / "words")
    found = {
        "setting": {**setting, "seed": run.seed, "rows": run.rows},
        "machine": describe(),
        "instructions": dict(run.objectives),
        "cells": {name: {cell.name: _of_cell(each) for cell, each in rows.items()} for name, rows in figures.items()},
        "verdicts": {name: _of_verdict(verdict) for name, verdict in verdicts.items()},
    }
    (out / "words.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _of_cell(figures: Figures) -> dict[str, Any]:
    return {**asdict(figures), "measure": figures.measure._asdict()}


def _of_verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "at_equal_kl": verdict.at_equal and verdict.at_equal._asdict(),
        "at_equal_kl_outcome": verdict.equal_outcome,
        "margin": verdict.margin,
        "beyond": {weight: each._asdict() for weight, each in verdict.beyond.items()},
        "beyond_outcome": verdict.beyond_outcome,
        "avoided": verdict.avoids._asdict(),
    }


def main(
    model: Annotated[str, typer.Option(help="folder or hub id of a chat model")],
    prompts: Annotated[int, typer.Option(help="how many of the 200")] = 200,
    tokens: Annotated[int, typer.Option(help="most per answer")] = 128,
    objectives: Annotated[str | None, typer.Option(help="comma-separated; default: all that ship")] = None,
    rows: Annotated[int, typer.Option(help="places in the batch; a steered answer takes two")] = 64,
    top_k: Annotated[int, typer.Option(help="candidates in every cell")] = 40,
    minutes: Annotated[float, typer.Option(help="begin no further cell after so many")] = 600.0,
    dtype: Annotated[DType, typer.Option(help="as mavis serve --dtype")] = "auto",
    folder: Annotated[Path, typer.Option(help="gets the answers, cell by cell")] = Path("benchmarks/words/run"),
    out: Annotated[Path, typer.Option(help="gets the page, the picture and the figures")] = OUT,
    seed: int = 7,
) -> None:
    """Sample what is missing, then report on what is there."""
    policy = load_policy(model, EngineConfig(dtype=dtype))
    run = Run(folder, policy, chosen(objectives), PROMPTS, read_prompts(PROMPTS, prompts), tokens, rows, top_k, seed)
    run.begin()
    run.sample(minutes)
    found = run.found()
    if BASE not in found:
        raise typer.BadParameter(f"--minutes {minutes:g}: not even the base was done; there is nothing to report")
    report(run, out)
    missing = [cell.name for cell in run.cells if cell not in found]
    print(f"{out / 'README.md'}: {len(found)} cells; missing: {', '.join(missing) or 'none'}")


if __name__ == "__main__":
    typer.run(main)
