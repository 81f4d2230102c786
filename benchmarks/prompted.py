"""What objectives in words cost: tokens per second of rows with 0, 1, 2 and 4 of them, as ratios within one run.

    python -m benchmarks.prompted --model path/to/SmolLM2-135M-Instruct --out benchmarks/results/prompted.json
    python -m benchmarks.prompted --shape 1b                   random weights of that shape

Each objective is a companion of its row, which reads a prompt of its own (32 tokens and an instruction of 20) and is
fed every token that the row draws. The same prompts and numbers of new tokens in every arm, no early stop; whole calls,
prefill included, nothing cached from one to the next. The arms run in turn, round after round; a ratio is the median
over rounds of the round's own quotient, so a machine that drifts drifts for all.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from benchmarks.machine import describe
from benchmarks.shapes import SHAPES, random_policy
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy, resolve_device, resolve_dtype
from mavis_core.offline import generate

OBJECTIVES = (0, 1, 2, 4)
PROMPT_TOKENS, INSTRUCTION_TOKENS = 32, 20


def load(model: str | None, shape: str | None, device: str, dtype: str) -> Policy:
    """The one of the two that is given."""
    on = resolve_device(device)
    as_type = resolve_dtype(dtype, on)
    if model is not None:
        return Policy.load(model, on, as_type)
    assert shape is not None and not isinstance(as_type, str)
    return random_policy(SHAPES[shape], on, as_type)


def made_up(vocab: int, seed: int, count: int) -> list[int]:
    """Token ids of no meaning."""
    return [6 + (17 * seed + 31 * j) % (vocab - 6) for j in range(count)]


class Arms:
    """Decodes the same ``rows`` prompts beside any number of objectives."""

    def __init__(self, policy: Policy, rows: int, tokens: int) -> None:
        self.rows, self.tokens = rows, tokens
        places = rows * (1 + max(OBJECTIVES))
        config = EngineConfig(
            max_model_len=INSTRUCTION_TOKENS + PROMPT_TOKENS + tokens + 1,
            max_num_seqs=places,
            max_num_batched_tokens=max(2048, places),
            enable_prefix_caching=False,
        )
        self._engine = Engine(policy, [], config)
        self._prompts = [made_up(policy.vocab_size, i, PROMPT_TOKENS) for i in range(rows)]
        told = [made_up(policy.vocab_size, 1000 + m, INSTRUCTION_TOKENS) for m in range(max(OBJECTIVES))]
        self._words = [
            [PromptedObjective(f"o{m}", (*told[m], *ids)) for m in range(len(told))] for ids in self._prompts
        ]

    def seconds(self, objectives: int) -> float:
        """Of one call in which every row has so many objectives."""
        guidance = Guidance({f"o{m}": 0.5 for m in range(objectives)})
        words = [own[:objectives] for own in self._words]
        sampling = SamplingParams(max_tokens=self.tokens, ignore_eos=True, seed=1)
        began = time.perf_counter()
        found = generate(self._engine, self._prompts, sampling, guidance, prompted=words)
        passed = time.perf_counter() - began
        assert all(len(choices[0].token_ids) == self.tokens for choices in found)
        return passed


def measure(policy: Policy, rows: int, tokens: int, rounds: int, bar: tqdm[None]) -> dict[str, Any]:
    """Tokens per second at ``rows`` rows by the number of objectives, and what share of those without it is."""
    arms = Arms(policy, rows, tokens)
    for objectives in OBJECTIVES:
        arms.seconds(objectives)
        bar.update()
    speeds: dict[int, list[float]] = {objectives: [] for objectives in OBJECTIVES}
    for _ in range(rounds):
        for objectives, found in speeds.items():
            found.append(rows * tokens / arms.seconds(objectives))
            bar.update()
    quotients = {m: [x / y for x, y in zip(found, speeds[0], strict=True)] for m, found in speeds.items() if m}
    return {
        "rows": rows,
        "tokens_per_s": {str(m): round(statistics.median(found), 1) for m, found in speeds.items()},
        **{f"{m} / 0": round(statistics.median(found), 3) for m, found in quotients.items()},
    }


def main(
    model: Annotated[str | None, typer.Option(help="folder or hub id")] = None,
    shape: Annotated[str | None, typer.Option(help=f"or random weights: {', '.join(SHAPES)}")] = None,
    rows: Annotated[list[int] | None, typer.Option(help="rows of the batch; may be repeated")] = None,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 64,
    rounds: int = 5,
    device: str = "auto",
    dtype: Annotated[str, typer.Option(help="as mavis serve --dtype; with --shape by name")] = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Measure and print; one line per number of rows."""
    if (model is None) == (shape is None) or (shape is not None and shape not in SHAPES):
        raise typer.BadParameter(f"one of --model and --shape; shapes are {', '.join(SHAPES)}")
    if shape is not None and dtype == "auto":
        dtype = "float32" if resolve_device(device).type == "cpu" else "bfloat16"
    policy, counts, results = load(model, shape, device, dtype), rows or [1, 8, 32], []
    with tqdm(total=len(counts) * len(OBJECTIVES) * (rounds + 1), unit="call") as bar:
        for count in counts:
            results.append(measure(policy, count, tokens, rounds, bar))
            bar.write(json.dumps(results[-1]))
    report = {
        "benchmark": "prompted",
        "model": shape or Path(policy.name).name,
        "dtype": str(policy.dtype).removeprefix("torch."),
        "prompt_tokens": PROMPT_TOKENS,
        "instruction_tokens": INSTRUCTION_TOKENS,
        "new_tokens": tokens,
        "rounds": rounds,
        "machine": describe(),
        "results": results,
    }
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
