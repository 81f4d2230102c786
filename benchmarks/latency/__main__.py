"""How long tokens take to come, from the engine alone.

    python -m benchmarks.latency --model FOLDER --out benchmarks/results/latency.json

A long prompt that arrives while rows decode, read in parts (``--step-stretch``) and at once; a prefix that two prompts
share; clients that ask one request after the other (closed load); requests that arrive as a Poisson process at a share
of what the closed load was served with (open load). Guided by four random heads unless ``--unguided``.
"""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.comparison.bars import draw_bars
from benchmarks.comparison.loaded import load
from benchmarks.comparison.options import Model, Out, ReadMib, Redraw
from benchmarks.comparison.report import Report, again, report, table, write_and_draw
from benchmarks.latency.scenes import Asking, closed_load, long_prompt, open_load, shared_prefix
from benchmarks.limits import READ_BYTES, Limits, Work
from benchmarks.process_stat import resident_mib
from benchmarks.shapes import random_head
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from value_models.loading import SHIPPED_POLICY

LONG_PROMPTS = {"long_prompt": "in parts", "long_prompt_at_once": "at once"}  # scene, and how the prompt is read in it


def engine_of(policy: Policy, rows: int, batched: int, longest: int, stretch: float) -> Engine:
    config = EngineConfig(
        step_stretch=stretch,
        max_num_seqs=rows + 1,  # the long prompt beside the rows
        max_num_batched_tokens=batched,
        max_model_len=longest,
        kv_cache_tokens=(rows + 1) * (longest + 16),
    )
    return Engine(policy, [random_head(policy)], config)


def memory(engine: Engine) -> dict[str, float]:
    """MiB: of the process now and at most (Linux counts kB), of the KV cache, and of the GPU at most."""
    found = {
        "resident_mib": round(resident_mib(os.getpid()), 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "kv_cache_mib": round(engine.info.kv_cache_bytes / 2**20, 1),
    }
    if engine.policy.device.type == "cuda":
        found["gpu_peak_mib"] = round(torch.cuda.max_memory_allocated(engine.policy.device) / 2**20, 1)
    return found


def tables(found: Report) -> str:
    """Every situation's times, in milliseconds."""
    results = found["results"]
    rows = [("before, between tokens", results["long_prompt"]["before"])]
    rows += [(f"during, {how}, between tokens", results[scene]["during"]) for scene, how in LONG_PROMPTS.items()]
    for load_name in ("closed_load", "open_load"):
        shown_as = load_name.replace("_", " ")
        rows += [(f"{shown_as}, to the first token", results[load_name]["to_first"])]
        rows += [(f"{shown_as}, between tokens", results[load_name]["between"])]
    shown = table(["ms", "p50", "p99"], [[name, each["p50_ms"], each["p99_ms"]] for name, each in rows])
    worst = "p99 during / p50 before"
    ratios = [[f"{worst}, {how}", results[scene][worst]] for scene, how in LONG_PROMPTS.items()]
    ratios += [["first / second", results["shared_prefix"]["first / second"]]]
    return f"{shown}\n\n{table(['ratio', ''], ratios)}"


def draw(found: Report, path: Path) -> None:
    """Milliseconds; what is short and what is long apart."""
    results = found["results"]

    def bars(times: dict[str, float]) -> dict[str, float]:
        return {"p50": times["p50_ms"], "p99": times["p99_ms"]}

    loads = {"closed load": results["closed_load"], "open load": results["open_load"]}
    prefix = results["shared_prefix"]
    panels: dict[str, dict[str, dict[str, float]]] = {
        "between tokens, a long prompt arrives": {
            "before": bars(results["long_prompt"]["before"]),
            **{how: bars(results[scene]["during"]) for scene, how in LONG_PROMPTS.items()},
        },
        "between tokens": {name: bars(load["between"]) for name, load in loads.items()},
        "to the first token": {name: bars(load["to_first"]) for name, load in loads.items()},
        "to the first token, shared prefix": {"first": {"": prefix["first_ms"]}, "second": {"": prefix["second_ms"]}},
    }
    draw_bars(panels, "ms", path)


def main(
    model: Model = str(SHIPPED_POLICY),
    rows: Annotated[int, typer.Option(help="that decode while the long prompt arrives")] = 16,
    long: Annotated[int, typer.Option(help="tokens of the long prompt")] = 2000,
    shared: Annotated[int, typer.Option(help="tokens of the shared prefix")] = 400,
    prompt_tokens: int = 40,
    tokens: Annotated[int, typer.Option(help="new tokens per request")] = 64,
    rounds: int = 3,
    clients: Annotated[int, typer.Option(help="of the closed load")] = 16,
    requests: Annotated[int, typer.Option(help="of each client, and as many in all of the open load")] = 4,
    load_share: Annotated[float, typer.Option(help="open load over the closed one's requests per second")] = 0.7,
    max_num_batched_tokens: Annotated[int, typer.Option(help="of one step")] = 2048,
    step_stretch: Annotated[float, typer.Option(help="as mavis serve --step-stretch")] = 1.8,
    unguided: Annotated[bool, typer.Option(help="without heads")] = False,
    dtype: str = "float32",
    device: str = "auto",
    threads: Annotated[int | None, typer.Option(help="as many as torch takes")] = None,
    read_mib: ReadMib = READ_BYTES >> 20,
    redraw: Redraw = False,
    out: Out = None,
) -> None:
    """Measure, print a line for each situation, and leave a file and a picture."""
    if redraw:
        again(out, draw, tables)
        return
    policy = load(model, dtype, device, threads)
    longest = max(long, shared + 8, prompt_tokens + 3 * tokens + long // 2) + tokens
    if longest > policy.max_model_len:
        raise typer.BadParameter(f"--long {long}: {policy.name} has a context of {policy.max_model_len} tokens")
    work = Work.of(policy.model)
    limits = Limits.measure(work, rows, policy.dtype, policy.device, read_mib << 20)
    engine = engine_of(policy, max(rows, clients), max_num_batched_tokens, longest, step_stretch)
    weights = {} if unguided else {objective.name: 0.25 for objective in engine.info.objectives}
    asking = Asking(policy.vocab_size, prompt_tokens, tokens, Guidance(weights, beta=1.0))
    closed_load(engine, asking, clients, 1)  # warms up
    results: dict[str, Any] = {}

    def keep(name: str, found: dict[str, Any]) -> None:
        results[name] = found
        print(json.dumps({name: found}), flush=True)

    keep("long_prompt", long_prompt(engine, asking, rows, long, rounds))
    at_once = engine_of(policy, rows, max_num_batched_tokens, longest, float("inf"))
    keep("long_prompt_at_once", long_prompt(at_once, asking, rows, long, rounds))
    keep("shared_prefix", shared_prefix(engine, asking, shared, rounds))
    keep("closed_load", closed_load(engine, asking, clients, requests))
    rate = load_share * results["closed_load"]["requests_per_s"]
    keep("open_load", open_load(engine, asking, rate, clients * requests))
    keep("memory", memory(engine))
    step = results["long_prompt"]["before"]["p50_ms"] / 1000
    keep("share_of_limits", {f"a step of {rows} rows": limits.shares(work, rows, 1, 1, step)})
    about = {"model": policy.name, "dtype": dtype, "guided": not unguided, "prompt_tokens": prompt_tokens}
    about |= {"new_tokens": tokens, "rounds": rounds, "max_num_batched_tokens": max_num_batched_tokens}
    about |= {"step_stretch": step_stretch}
    found = report("latency", results, **about, limits=limits.described())
    write_and_draw(found, out, draw)
    print(tables(found))


if __name__ == "__main__":
    typer.run(main)
