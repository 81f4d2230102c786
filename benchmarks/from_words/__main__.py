"""Values that a model taught itself from sentences, served, beside the sentences: steering, cost per token, making.

    mavis fit --policy MODEL --objective "cheerful=Be very cheerful." --objective "concise=Be brief." --out RUN
    python -m benchmarks.from_words --model MODEL --value learned=RUN/value --report fit=RUN/report.json
    python -m benchmarks.from_words --model MODEL --value learned=RUN/value --prompts 8 --tokens 16 --no-costs
    python -m benchmarks.from_words --model MODEL --value head=shipped:smollm2 --weight -1 --weight 1 --weight 2 \
        --no-words --no-costs --shown 20

Sentences are read from the values, whose objectives' descriptions they are; each objective needs a measure of its name
(``benchmarks.words.measures``). The answers of each cell are one file below ``--folder``, written when the cell is
done; those that are there are not asked again. At the end the page, the figures of all that is there and the first
answers to read go to ``--out``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import prompted
from benchmarks.from_words.answers_page import answers_page
from benchmarks.from_words.cells import BASE, WEIGHTS
from benchmarks.from_words.findings import Findings
from benchmarks.from_words.page import page
from benchmarks.from_words.sample import Run
from benchmarks.machine import describe
from benchmarks.words.measures import MEASURES
from mavis_core.api.config import DType, EngineConfig, Quantization
from value_models import durable
from value_models.folders import load_value
from value_models.loading import NAMED, load_policy, value_folders
from value_models.prompts import read_prompts
from value_models.value_config import ValueConfig

PROMPTS = Path(__file__).parent.parent / "words" / "prompts.jsonl"
OUT = Path("benchmarks/results/from_words")


def named(option: str, given: list[str]) -> dict[str, str]:
    """``name=path`` each."""
    found: dict[str, str] = {}
    for each in given:
        name, sign, path = each.partition("=")
        if not (name and sign and (path in NAMED or Path(path).exists())) or name in ("words", "told"):
            raise typer.BadParameter(
                f"{option} {each}: must be NAME=PATH; the path is there, the name not words or told"
            )
        found[name] = path
    return found


def sentences(values: dict[str, list[Path]]) -> dict[str, str]:
    """Objective -> instruction, which all values must have been taught alike."""
    taught = [
        {o.name: o.description for folder in folders for o in ValueConfig.load(folder).objectives}
        for folders in values.values()
    ]
    if any(each != taught[0] for each in taught):
        raise typer.BadParameter(f"--value: were taught differently: {taught}")
    if unknown := [name for name in taught[0] if name not in MEASURES]:
        raise typer.BadParameter(f"--value: nothing measures {unknown[0]!r}; measured are {', '.join(MEASURES)}")
    return taught[0]


def measure_costs(run: Run, rows: list[int], rounds: int) -> dict[str, Any]:
    """Tokens per second of rows that nothing guides, that 1 and 2 objectives in words do, that a value does."""
    folders, tokens = next(iter(run.values.values())), 32
    if len(folders) > 1:
        raise typer.BadParameter("--costs: is measured for one value; name a folder of one, or say --no-costs")
    results = [
        prompted.measure(run.policy, count, tokens, rounds, load_value(folders[0], run.policy), (0, 1, 2))
        for count in rows
    ]
    return {"new_tokens": tokens, "prompt_tokens": prompted.PROMPT_TOKENS, "rounds": rounds, "results": results}


def main(
    model: Annotated[str, typer.Option(help="folder or hub id of a chat model")],
    value: Annotated[list[str], typer.Option(help="NAME=FOLDER of values, or NAME=shipped:...; may be repeated")],
    report: Annotated[list[str] | None, typer.Option(help="NAME=report.json of a run; may be repeated")] = None,
    prompts: Annotated[int, typer.Option(help="how many of the 200")] = 100,
    tokens: Annotated[int, typer.Option(help="most per answer")] = 96,
    rows: Annotated[int, typer.Option(help="places in the batch; an answer steered by words takes two")] = 64,
    top_k: Annotated[int, typer.Option(help="candidates in every cell")] = 40,
    weight: Annotated[list[float] | None, typer.Option(help="may be repeated; default: 1 and 2")] = None,
    words: Annotated[bool, typer.Option(help="ask the sentences themselves, too")] = True,
    shown: Annotated[int, typer.Option(help="answers of each cell to read")] = 5,
    minutes: Annotated[float, typer.Option(help="begin no further cell after so many")] = 600.0,
    costs: Annotated[bool, typer.Option(help="measure tokens per second too; on an idle machine")] = True,
    cost_rows: Annotated[list[int] | None, typer.Option(help="rows there; may be repeated; default: 1, 8, 32")] = None,
    rounds: Annotated[int, typer.Option(help="rounds there")] = 3,
    dtype: Annotated[DType, typer.Option(help="as mavis serve --dtype")] = "auto",
    quantization: Annotated[Quantization | None, typer.Option(help="as mavis serve --quantization")] = None,
    folder: Annotated[Path, typer.Option(help="gets the answers, cell by cell")] = Path("benchmarks/from_words/run"),
    out: Annotated[Path, typer.Option(help="gets the page and the figures")] = OUT,
    seed: int = 7,
) -> None:
    """Sample what is missing, measure what a token costs, then report on what is there."""
    values = {name: value_folders(path) for name, path in named("--value", value).items()}
    reports = {name: Path(path) for name, path in named("--report", report or []).items()}
    taught = sentences(values)
    durable.write_or_match(folder / "weights.json", {"quantization": quantization})
    policy = load_policy(model, EngineConfig(dtype=dtype, quantization=quantization))
    asked, weights = read_prompts(PROMPTS, prompts), weight or WEIGHTS
    run = Run(folder, policy, taught, PROMPTS, asked, tokens, rows, top_k, seed, values, weights, words)
    run.begin()
    run.sample(minutes)
    if BASE not in run.found():
        raise typer.BadParameter(f"--minutes {minutes:g}: not even the base was done; there is nothing to report")
    kept = folder / "costs.json"
    if costs and not kept.exists():
        kept.write_text(json.dumps(measure_costs(run, cost_rows or [1, 8, 32], rounds), indent=1) + "\n")
    tell(run, out, json.loads(kept.read_text()) if kept.exists() else None, reports, shown, quantization)
    missing = [cell.name for cell in run.cells if cell not in run.found()]
    print(f"{out / 'README.md'}; missing: {', '.join(missing) or 'none'}")


def tell(
    run: Run,
    out: Path,
    costs: dict[str, Any] | None,
    reports: dict[str, Path],
    shown: int = 5,
    quantization: str | None = None,
) -> None:
    """Write the page, the figures of all cells that are there, and the first answers of each."""
    answers = run.found()
    setting: dict[str, Any] = {"count": len(run.prompts), "tokens": run.tokens, "top_k": run.top_k}
    number = str(run.policy.dtype).removeprefix("torch.")
    setting |= {"model": Path(run.policy.name).name, "dtype": f"{number}, {quantization}" if quantization else number}
    findings = Findings(run.prompts, answers, run.seed)
    figures = {
        name: {cell: findings.figures(cell, name, shown) for cell in answers if cell.objective in ("", name)}
        for name in run.objectives
    }
    made = {name: json.loads(path.read_text()) for name, path in reports.items()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "README.md").write_text(page(figures, setting, costs, made), encoding="utf-8")
    (out / "answers.md").write_text(answers_page(figures, run.prompts, setting), encoding="utf-8")
    found = {
        "setting": {**setting, "seed": run.seed, "rows": run.rows},
        "machine": describe(),
        "instructions": dict(run.objectives),
        "cells": {
            name: {cell.name: asdict(each) | {"first": each.first[:5]} for cell, each in cells.items()}
            for name, cells in figures.items()
        },
        "costs": costs,
        "reports": made,
    }
    (out / "from_words.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
