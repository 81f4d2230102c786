"""What it costs that rows differ in what they ask for, and what objectives cost: ratios within one run.

    python -m benchmarks.distinct --model FOLDER --out benchmarks/results/distinct.json

First 32 rows with 1, 8 or 32 different weight maps, betas and KL budgets among them: all in one batch, so it should
cost nothing. Then heads of 1, 4 and 16 objectives at 1, 8 and 32 rows, beside the same rows unguided. The same prompts,
rows and numbers of new tokens, no early stop; whole calls, prefill included, in turn. Values are random.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.comparison.bars import draw_bars
from benchmarks.comparison.loaded import load
from benchmarks.comparison.options import Model, Out, ReadMib, Redraw
from benchmarks.comparison.prompts import prompts
from benchmarks.comparison.report import Report, again, report, table, write_and_draw
from benchmarks.comparison.rounds import in_turn, medians, quotient, seconds
from benchmarks.limits import READ_BYTES, Limits, Work
from benchmarks.shapes import random_head
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from value_models.loading import SHIPPED_POLICY

PROMPT_TOKENS = 40
UNGUIDED = "unguided"


def setting(number: int, names: Sequence[str]) -> Guidance:
    """Setting number ``number``: weights, beta and budget that no other of the first 64 has."""
    weights = {name: (-1) ** (number + i) * (1 + number % 64 + i) / 64 for i, name in enumerate(names)}
    return Guidance(weights, beta=1 + number % 64 / 32, max_kl_per_token=0.05 + number % 64 / 128)


def engine_of(policy: Policy, objectives: int, rows: int, tokens: int) -> Engine:
    """With room for the rows; every round has the same prompts, which are read anew."""
    config = EngineConfig(
        max_num_seqs=rows,
        max_num_batched_tokens=max(2048, rows),
        kv_cache_tokens=rows * (PROMPT_TOKENS + tokens + 16),
        enable_prefix_caching=False,
    )
    return Engine(policy, [random_head(policy, objectives)], config)


class Comparison:
    """Runs arms of ``rows`` rows in turn, and says what came out."""

    def __init__(self, policy: Policy, limits: Limits, tokens: int, rounds: int) -> None:
        self._policy, self._limits, self._tokens, self._rounds = policy, limits, tokens, rounds

    def of(self, rows: int, arms: dict[str, tuple[Engine, list[Guidance]]], base: str) -> dict[str, Any]:
        """Tokens per second of every arm, each over ``base``, and the shares of the machine's limits."""
        asked = prompts(rows, PROMPT_TOKENS, self._policy.vocab_size)
        sampling = SamplingParams(max_tokens=self._tokens, ignore_eos=True, seed=1)
        runs = {
            name: partial(seconds, partial(generate, engine, asked, sampling, guidances))
            for name, (engine, guidances) in arms.items()
        }
        in_turn(runs, 1)  # warms up
        times = in_turn(runs, self._rounds)
        speeds = {name: [rows * self._tokens / each for each in found] for name, found in times.items()}
        work = Work.of(self._policy.model)
        return {
            "rows": rows,
            "tokens_per_s": medians(speeds),
            f"over {base}": {name: quotient(speeds[name], speeds[base]) for name in arms if name != base},
            "share_of_limits": {
                name: self._limits.shares(work, rows, PROMPT_TOKENS, self._tokens, found)
                for name, found in medians(times, 6).items()
            },
        }

    def settings(self, rows: int, counts: Sequence[int], objectives: int) -> dict[str, Any]:
        """Rows that have so many different settings among them."""
        engine = engine_of(self._policy, objectives, rows, self._tokens)
        names = [objective.name for objective in engine.info.objectives]
        arms = {str(n): (engine, [setting(row % n, names) for row in range(rows)]) for n in counts}
        return self.of(rows, arms, str(counts[0]))

    def heads(self, rows: int, counts: Sequence[int]) -> dict[str, Any]:
        """Heads of so many objectives beside no guidance."""
        engines = {count: engine_of(self._policy, count, rows, self._tokens) for count in counts}
        plain: dict[str, tuple[Engine, list[Guidance]]] = {UNGUIDED: (engines[counts[0]], [Guidance()] * rows)}
        for count, engine in engines.items():
            weights = {objective.name: 1 / count for objective in engine.info.objectives}
            plain[str(count)] = (engine, [Guidance(weights, beta=1.0)] * rows)
        return self.of(rows, plain, UNGUIDED)


def tables(found: Report) -> str:
    """Tokens per second over those of the first arm."""
    parts = []
    for title, results in (
        ("different settings", [found["results"]["settings"]]),
        ("objectives", found["results"]["heads"]),
    ):
        over = [next(value for key, value in result.items() if key.startswith("over ")) for result in results]
        header = [title, *(f"rows: {result['rows']}" for result in results)]
        parts.append(table(header, [[name, *(each[name] for each in over)] for name in over[0]]))
    return "\n\n".join(parts)


def draw(found: Report, path: Path) -> None:
    """Tokens per second by number of settings, and by number of objectives for each number of rows."""
    results = found["results"]
    panels = {"different settings": {name: {"": speed} for name, speed in results["settings"]["tokens_per_s"].items()}}
    for result in results["heads"]:
        arms = {name if name == UNGUIDED else f"{name} objectives": s for name, s in result["tokens_per_s"].items()}
        panels[f"rows: {result['rows']}"] = {name: {"": speed} for name, speed in arms.items()}
    draw_bars(panels, "tokens per second", path)


def main(
    model: Model = str(SHIPPED_POLICY),
    rows: Annotated[
        list[int] | None, typer.Option(help="rows of the batch; may be repeated, the last for settings")
    ] = None,
    settings: Annotated[list[int] | None, typer.Option(help="different settings; may be repeated")] = None,
    objectives: Annotated[list[int] | None, typer.Option(help="of the heads; may be repeated")] = None,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 64,
    rounds: int = 5,
    dtype: str = "float32",
    device: str = "auto",
    threads: Annotated[int | None, typer.Option(help="as many as torch takes")] = None,
    read_mib: ReadMib = READ_BYTES >> 20,
    redraw: Redraw = False,
    out: Out = None,
) -> None:
    """Measure, print, and leave a file and a picture."""
    if redraw:
        again(out, draw, tables)
        return
    policy = load(model, dtype, device, threads)
    counts, heads = rows or [1, 8, 32], objectives or [1, 4, 16]
    limits = Limits.measure(Work.of(policy.model), max(counts), policy.dtype, policy.device, read_mib << 20)
    comparison = Comparison(policy, limits, tokens, rounds)
    differing = comparison.settings(counts[-1], settings or [1, 8, 32], heads[len(heads) // 2])
    print(json.dumps(differing), flush=True)
    by_rows = []
    for count in counts:
        by_rows.append(comparison.heads(count, heads))
        print(json.dumps(by_rows[-1]), flush=True)
    about = {
        "model": policy.name,
        "dtype": dtype,
        "prompt_tokens": PROMPT_TOKENS,
        "new_tokens": tokens,
        "rounds": rounds,
    }
    found = report("distinct", {"settings": differing, "heads": by_rows}, **about, limits=limits.described())
    write_and_draw(found, out, draw)
    print(json.dumps(limits.described()), tables(found), sep="\n\n")


if __name__ == "__main__":
    typer.run(main)
