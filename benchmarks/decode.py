"""Decode speed, as ratios measured side by side in one run.

    python -m benchmarks.decode                    the model that ships
    python -m benchmarks.decode --shape 1b         random weights of that shape

Arms: transformers' generate(), the engine unguided, guided by heads, guided by a four-output value LM. The same
prompts, rows and numbers of new tokens, no early stop; whole calls, prefill included, in turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.comparison.prompts import prompts
from benchmarks.comparison.report import report, write
from benchmarks.comparison.rounds import in_turn, medians, quotient, seconds
from benchmarks.limits import read_bandwidth
from benchmarks.peers.hugging_face import GenerateArm
from benchmarks.shapes import OBJECTIVES, SHAPES, random_head, random_lm, random_policy
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy, resolve_device
from mavis_core.offline import generate
from value_models.folders import load_value
from value_models.kinds.registry import stacked
from value_models.loading import SHIPPED_HEADS, SHIPPED_LM, SHIPPED_POLICY, value_folders

PROMPT_TOKENS = 32


class Arms:
    """The four ways to decode the same thing."""

    def __init__(self, shape: str | None, device: torch.device, rows: int) -> None:
        # Every round has the same prompts: with their KV cached, ours alone would skip the prefill.
        config = EngineConfig(max_num_seqs=rows, max_num_batched_tokens=max(2048, rows), enable_prefix_caching=False)
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        if shape is None:
            self.policy, plain = (Policy.load(str(SHIPPED_POLICY), device, dtype) for _ in range(2))
            heads = stacked([load_value(folder, self.policy) for folder in value_folders(str(SHIPPED_HEADS))])
            lms = [load_value(SHIPPED_LM, self.policy)]
        else:
            self.policy, plain = (random_policy(SHAPES[shape], device, dtype) for _ in range(2))
            heads, lms = [random_head(self.policy)], [random_lm(self.policy, max(128, SHAPES[shape].hidden // 4), 2)]
        self.names = [objective.name for objective in heads[0].spec.objectives]
        self.generate = GenerateArm(plain.model)  # the same weights as transformers loads them
        self.policy.pack()
        self.by_heads = Engine(self.policy, heads, config)
        self.by_lm = Engine(self.policy, lms, config)

    def engine(self, engine: Engine, guidance: Guidance | None) -> Callable[[list[list[int]], int], None]:
        def run(prompts: list[list[int]], tokens: int) -> None:
            found = generate(engine, prompts, SamplingParams(max_tokens=tokens, ignore_eos=True, seed=1), guidance)
            assert all(len(choices[0].token_ids) == tokens for choices in found)

        return run

    def all(self) -> dict[str, Callable[[list[list[int]], int], None]]:
        steer = Guidance(dict.fromkeys(self.names, 0.5), beta=1.0)
        return {
            "transformers": self.generate.run,
            "unguided": self.engine(self.by_heads, None),
            "head": self.engine(self.by_heads, steer),
            "lm": self.engine(self.by_lm, steer),
        }


def measure(shape: str | None, device: torch.device, rows: int, tokens: int, rounds: int) -> dict[str, Any]:
    """Tokens per second of every arm at ``rows`` rows and the ratios between them."""
    arms = Arms(shape, device, rows)
    asked = prompts(rows, PROMPT_TOKENS, arms.policy.vocab_size)
    runs = arms.all()
    for run in runs.values():
        run(asked, 4)
    times = in_turn({name: partial(seconds, partial(run, asked, tokens)) for name, run in runs.items()}, rounds)
    speeds = {name: [rows * tokens / each for each in found] for name, found in times.items()}
    result: dict[str, Any] = {
        "rows": rows,
        "tokens_per_s": medians(speeds),
        "unguided / transformers": quotient(speeds["unguided"], speeds["transformers"]),
        "head / unguided": quotient(speeds["head"], speeds["unguided"]),
        "lm / unguided": quotient(speeds["lm"], speeds["unguided"]),
    }
    if device.type == "cuda":
        weights = sum(p.numel() * p.element_size() for p in arms.policy.backbone.base.parameters())
        per_step = rows / result["tokens_per_s"]["unguided"]
        result["weight_bytes_per_s"] = round(weights / per_step / 1e9, 1)
        result["memory_bytes_per_s"] = round(read_bandwidth(device) / 1e9, 1)
    return result


def main(
    shape: Annotated[str | None, typer.Option(help=f"random weights: {', '.join(SHAPES)}")] = None,
    rows: Annotated[list[int] | None, typer.Option(help="rows of the batch; may be repeated")] = None,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 96,
    rounds: int = 7,
    device: str = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Measure and print; one line per number of rows."""
    if shape is not None and shape not in SHAPES:
        raise typer.BadParameter(f"--shape {shape}: must be one of {', '.join(SHAPES)}")
    results = []
    for count in rows or [1, 8, 32]:
        results.append(measure(shape, resolve_device(device), count, tokens, rounds))
        print(json.dumps(results[-1]), flush=True)
    setting = {
        "shape": shape or "shipped",
        "objectives": len(OBJECTIVES),
        "prompt_tokens": PROMPT_TOKENS,
        "new_tokens": tokens,
        "rounds": rounds,
    }
    write(report("decode", results, **setting), out)


if __name__ == "__main__":
    typer.run(main)
