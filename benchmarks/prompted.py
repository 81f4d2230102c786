"""What objectives in words cost: tokens per second of rows with 0, 1, 2 and 4 of them, as ratios in one run.

    python -m benchmarks.prompted                          the model that ships
    python -m benchmarks.prompted --model path/to/model    another one
    python -m benchmarks.prompted --model path/to/model --value path/to/value    beside a value, with all its objectives

The same prompts, rows and numbers of new tokens, no early stop; whole calls, prefill included, in turn. "0" is a row
that is guided by nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.comparison.prompts import prompts
from benchmarks.comparison.report import report, write
from benchmarks.comparison.rounds import in_turn, medians, quotient, seconds
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy, resolve_device
from mavis_core.offline import generate
from mavis_core.values.protocol import ValueFunction
from value_models.folders import load_value
from value_models.loading import SHIPPED_POLICY

COUNTS = (0, 1, 2, 4)
PROMPT_TOKENS, INSTRUCTION_TOKENS = 32, 16


def told(prompt: list[int], number: int, vocab: int) -> PromptedObjective:
    """``prompt`` behind an instruction of random tokens, another for each ``number``."""
    instruction = [6 + (23 * number + 41 * j) % (vocab - 6) for j in range(INSTRUCTION_TOKENS)]
    return PromptedObjective(str(number), (*instruction, *prompt))


def measure(
    policy: Policy,
    rows: int,
    tokens: int,
    rounds: int,
    value: ValueFunction | None = None,
    counts: Sequence[int] = COUNTS,
) -> dict[str, Any]:
    """Tokens per second of the answers at ``rows`` rows, by objectives in words of each, and ratios to none.

    Args:
        value: measured too, all its objectives wanted alike.
        counts: of objectives in words, 0 first.
    """
    places = rows * (1 + max(counts))
    length = PROMPT_TOKENS + INSTRUCTION_TOKENS + tokens
    # Every round has the same prompts: with their KV cached, there would be no prefill in it.
    config = EngineConfig(
        max_num_seqs=places,
        max_num_batched_tokens=max(2048, places),
        kv_cache_tokens=places * (length + 16),
        enable_prefix_caching=False,
    )
    engine, vocab = Engine(policy, [] if value is None else [value], config), policy.vocab_size
    asked = prompts(rows, PROMPT_TOKENS, vocab)
    sampling = SamplingParams(max_tokens=tokens, ignore_eos=True, seed=1)

    def run(count: int) -> None:
        guidance = Guidance({str(number): 1.0 / count for number in range(count)})
        words = [[told(prompt, number, vocab) for number in range(count)] for prompt in asked]
        generate(engine, asked, sampling, guidance, prompted=words)

    def run_value(names: Sequence[str]) -> None:
        generate(engine, asked, sampling, Guidance({name: 1.0 / len(names) for name in names}))

    arms = {str(count): partial(seconds, partial(run, count)) for count in counts}
    if value is not None:
        arms["value"] = partial(seconds, partial(run_value, [each.name for each in value.spec.objectives]))
    in_turn(arms, 1)  # warms up
    speeds = {name: [rows * tokens / each for each in found] for name, found in in_turn(arms, rounds).items()}
    result: dict[str, Any] = {"rows": rows, "tokens_per_s": medians(speeds)}
    for name in list(arms)[1:]:
        result[f"{name} / 0"] = quotient(speeds[name], speeds["0"])
    return result


def main(
    model: Annotated[str, typer.Option(help="folder or hub id of a policy")] = str(SHIPPED_POLICY),
    rows: Annotated[list[int] | None, typer.Option(help="rows of the batch; may be repeated")] = None,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 64,
    value: Annotated[Path | None, typer.Option(help="folder of a value for this model, measured beside words")] = None,
    rounds: int = 5,
    device: str = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Measure and print; one line per number of rows."""
    where = resolve_device(device)
    dtype = torch.float32 if where.type == "cpu" else torch.bfloat16
    policy = Policy.load(model, where, dtype, "shipped" if model == str(SHIPPED_POLICY) else Path(model).name)
    policy.pack()
    results = []
    for count in rows or [1, 8, 32]:
        results.append(measure(policy, count, tokens, rounds, load_value(value, policy) if value else None))
        print(json.dumps(results[-1]), flush=True)
    setting = {
        "model": policy.name,
        "prompt_tokens": PROMPT_TOKENS,
        "instruction_tokens": INSTRUCTION_TOKENS,
        "new_tokens": tokens,
        "rounds": rounds,
    }
    write(report("prompted", results, **setting), out)


if __name__ == "__main__":
    typer.run(main)
