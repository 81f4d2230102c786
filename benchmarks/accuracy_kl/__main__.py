"""What weights cost on a task: forty small questions of three options, scored over HTTP at a few weights.

    python -m benchmarks.accuracy_kl --model path/to/model --out benchmarks/results/accuracy_kl

Starts a server, asks it the way lm-eval does (``echo`` with ``logprobs``), and writes ``results.json`` and a picture of
accuracy against steering KL per token. Weight 0 is the model itself. It claims that weight 0 is a base model that knows
something: at least half of the questions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks.accuracy_kl.task import Question, read_questions, score, summarise
from benchmarks.machine import describe
from scripts.served import served

OBJECTIVES = {"pirate": "Talk like a pirate.", "wrong": "Give a wrong answer."}
WEIGHTS = (0.0, 2.0, 4.0)
LEAST_ACCURACY = 0.5
Row = dict[str, Any]


def measure(client: httpx.Client, questions: Sequence[Question], weights: Sequence[float]) -> Iterator[Row]:
    """A row for each weight and objective; weight 0 once."""
    for weight in weights:
        for objective in list(OBJECTIVES)[: None if weight else 1]:
            steering = {
                "objectives": {objective: OBJECTIVES[objective]},
                "objective_weights": {objective: weight},
                "guidance": {"report": True},
            }
            found = summarise(score(client, questions, steering))
            yield {"objective": objective if weight else None, "weight": weight, **found}


@contextmanager
def asked(model: str, url: str | None) -> Iterator[httpx.Client]:
    """A client of the server at ``url``, or of one that is started."""
    if url is not None:
        with httpx.Client(base_url=url, timeout=1200) as client:
            yield client
        return
    options = ("--model", model, "--max-num-seqs", "48", "--device", "cpu", "--dtype", "float32")
    with served(*options) as server, httpx.Client(base_url=server.url, timeout=1200) as client:
        yield client


def draw(rows: Sequence[Row], path: Path) -> None:
    """Accuracy over steering KL per token, a line for each objective, each point with its weight."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    panel = figure.subplots()
    for objective, instruction in OBJECTIVES.items():
        own = [row for row in rows if row["objective"] in (None, objective)]
        kl, accuracy = [row["steering_nats_per_token"] for row in own], [row["accuracy"] for row in own]
        panel.plot(kl, accuracy, marker="o", label=f"{objective}: “{instruction}”")
        for row, x, y in zip(own, kl, accuracy, strict=True):
            panel.annotate(f"{row['weight']:g}", (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)
    panel.axhline(1 / 3, color="grey", linewidth=0.5)
    panel.set_xlabel("steering KL, nats per token of the options")
    panel.set_ylabel("accuracy")
    panel.set_ylim(0, 1)
    panel.legend(fontsize=8)
    figure.savefig(path)


def write(rows: Sequence[Row], model: str, out: Path) -> None:
    report = {
        "benchmark": "accuracy_kl",
        "model": Path(model).name,
        "objectives": OBJECTIVES,
        "top_k": 40,
        "machine": describe(),
        "results": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(report, indent=2) + "\n")
    draw(rows, out / "accuracy.svg")


def main(
    model: Annotated[str, typer.Option(help="Folder or hub id of a chat model.")],
    out: Annotated[Path, typer.Option(help="Folder to write, after each weight.")],
    weight: Annotated[list[float] | None, typer.Option(help="Beside 0; may be repeated; 2 and 4 unless given.")] = None,
    url: Annotated[str | None, typer.Option(help="Of a server of this model that runs already.")] = None,
) -> None:
    rows: list[Row] = []
    with asked(model, url) as client:
        for row in measure(client, read_questions(), sorted({0.0, *(weight or WEIGHTS)}, key=abs)):
            print(json.dumps(row), flush=True)
            rows.append(row)
            write(rows, model, out)
    if rows[0]["accuracy"] < LEAST_ACCURACY:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
