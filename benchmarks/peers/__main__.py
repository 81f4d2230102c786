"""Decode speed beside others', one model, arms in turn round after round.

    python -m benchmarks.peers --model FOLDER --gguf FILE --llama-cpp FOLDER --vllm PYTHON --out FILE.json

The same model, prompts of the same length, as many new tokens, no early stop; whole calls, prefill included and
loading not. An arm that cannot run is named with the reason. Values are random: what they say costs nothing.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.comparison.bars import draw_bars
from benchmarks.comparison.loaded import load
from benchmarks.comparison.options import Model, Out, ReadMib, Redraw
from benchmarks.comparison.prompts import prompts
from benchmarks.comparison.report import Report, again, report, table, write, write_and_draw
from benchmarks.comparison.rounds import in_turn, medians, quotient
from benchmarks.limits import READ_BYTES, Limits, Work
from benchmarks.peers.arm import Arm, Task, UnavailableError
from benchmarks.peers.lineup import INT8, LMS, ONE_BY_ONE, OWN, SIDE_BY_SIDE, UNGUIDED, Lineup
from benchmarks.peers.own import ValueShapes
from benchmarks.shapes import OBJECTIVES
from value_models.loading import SHIPPED_POLICY

WARM_TOKENS = 4


def opened(
    lineup: Lineup, task: Task, asked: list[list[int]], stack: ExitStack
) -> tuple[dict[str, Arm], dict[str, str]]:
    """The arms that work, warmed up and closed with ``stack``; the reasons of the others."""
    arms: dict[str, Arm] = {}
    missing: dict[str, str] = {}
    for name, make in lineup.makers().items():
        try:
            arm = make(task)
            stack.callback(arm.close)
            arm.seconds(asked, min(WARM_TOKENS, task.tokens))
        except UnavailableError as error:
            missing[name] = str(error)
        except Exception as error:  # others' code may raise anything, and the run goes on; ours must not
            if name in (UNGUIDED, *OWN):
                raise
            missing[name] = f"{type(error).__name__}: {error}"
        else:
            arms[name] = arm
    return arms, missing


def measure(lineup: Lineup, task: Task, rounds: int, limits: Limits) -> dict[str, Any]:
    """Tokens per second of every arm, ratios, shares of the machine's limits."""
    asked = prompts(task.rows, task.prompt, lineup.policy.vocab_size)
    with ExitStack() as stack:
        arms, missing = opened(lineup, task, asked, stack)
        times = in_turn({name: partial(arm.seconds, asked, task.tokens) for name, arm in arms.items()}, rounds)
    speeds = {name: [task.rows * task.tokens / each for each in found] for name, found in times.items()}
    middle = medians(times, 6)
    return {
        "rows": task.rows,
        "tokens_per_s": medians(speeds),
        "ratios": ratios(speeds),
        "share_of_limits": {name: shares(lineup, name, task, middle[name], limits) for name in arms},
        "not_run": missing,
        "seconds": {name: [round(each, 4) for each in found] for name, found in times.items()},
    }


def ratios(speeds: Mapping[str, list[float]]) -> dict[str, float]:
    """Ours guided over ours unguided, ours unguided over others, LMs over the papers' loops, 8 bits over 8 bits."""
    pairs = [(name, UNGUIDED) for name in OWN]
    others = [name for name in speeds if name not in (UNGUIDED, *OWN)]
    pairs += [(UNGUIDED, name) for name in others if name not in (ONE_BY_ONE, SIDE_BY_SIDE)]
    pairs += [(LMS, ONE_BY_ONE), (LMS, SIDE_BY_SIDE)]
    pairs += [(INT8, name) for name in others if "Q8" in name]
    return {f"{a} / {b}": quotient(speeds[a], speeds[b]) for a, b in pairs if a in speeds and b in speeds}


def shares(lineup: Lineup, arm: str, task: Task, seconds: float, limits: Limits) -> dict[str, float]:
    """What the model alone asks of the machine, beside its limits; values come on top."""
    work = Work.of(lineup.policy.model)
    own_bytes = lineup.weight_bytes(arm)
    if own_bytes is not None:
        work = Work(work.shapes, work.readout, own_bytes)
    return limits.shares(work, task.rows, task.prompt, task.tokens, seconds)


def tables(found: Report) -> str:
    """Tokens per second and ratios, a column for each number of rows."""
    parts = []
    for key in ("tokens_per_s", "ratios"):
        names = list(dict.fromkeys(name for result in found["results"] for name in result[key]))
        rows = [[name, *(result[key].get(name, "–") for result in found["results"])] for name in names]
        parts.append(table([key.replace("_", " "), *(f"rows: {result['rows']}" for result in found["results"])], rows))
    return "\n\n".join(parts)


def draw(found: Report, path: Path) -> None:
    """Tokens per second, a panel for each number of rows: they differ too much for one."""
    panels = {
        f"rows: {result['rows']}": {name: {"": speed} for name, speed in result["tokens_per_s"].items()}
        for result in found["results"]
    }
    draw_bars(panels, "tokens per second", path)


def main(
    model: Model = str(SHIPPED_POLICY),
    gguf: Annotated[list[Path] | None, typer.Option(help="the same model for llama.cpp; may be repeated")] = None,
    llama_cpp: Annotated[Path | None, typer.Option(help="folder with llama-batched-bench")] = None,
    vllm: Annotated[Path | None, typer.Option(help="Python of an environment with vLLM")] = None,
    rows: Annotated[list[int] | None, typer.Option(help="rows of the batch; may be repeated")] = None,
    rounds: int = 3,
    prompt_tokens: int = 40,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 64,
    objectives: Annotated[int, typer.Option(help="of the heads, and outputs of the one LM")] = len(OBJECTIVES),
    lms: Annotated[int, typer.Option(help="separate value LMs, one objective each")] = 2,
    lm_layers: int = 2,
    lm_hidden: Annotated[int | None, typer.Option(help="width of value LMs; about a quarter of the model's")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16, for all but llama.cpp")] = "float32",
    device: str = "auto",
    threads: Annotated[int | None, typer.Option(help="for every arm; as many as torch takes")] = None,
    read_mib: ReadMib = READ_BYTES >> 20,
    redraw: Redraw = False,
    out: Out = None,
) -> None:
    """Measure, print a line for each number of rows, and leave a file and a picture."""
    if redraw:
        again(out, draw, tables)
        return
    policy = load(model, dtype, device, threads)
    hidden = lm_hidden or max(128, policy.readout.weight.shape[1] // 4 // 64 * 64)
    shapes = ValueShapes(objectives, hidden, lm_layers, lms)
    lineup = Lineup(model, policy, shapes, tuple(gguf or ()), llama_cpp, vllm)
    counts = rows or [1, 8, 32]
    limits = Limits.measure(Work.of(policy.model), max(counts), policy.dtype, policy.device, read_mib << 20)
    setting = {
        "model": policy.name,
        "dtype": dtype,
        "prompt_tokens": prompt_tokens,
        "new_tokens": tokens,
        "rounds": rounds,
        "objectives": objectives,
        "value_lms": {"separate": lms, "hidden": hidden, "layers": lm_layers},
        "limits": limits.described(),
    }
    results: list[dict[str, Any]] = []
    for count in counts:
        results.append(measure(lineup, Task(count, prompt_tokens, tokens, torch.get_num_threads()), rounds, limits))
        print(json.dumps(results[-1]), flush=True)
        write(report("peers", results, **setting), out)  # what is there stays, whatever comes
        gc.collect()
    found = report("peers", results, **setting)
    write_and_draw(found, out, draw)
    print(json.dumps(setting["limits"]), tables(found), sep="\n\n")


if __name__ == "__main__":
    typer.run(main)
