"""A ``q_lm`` beside the ``lm`` that taught it: tokens per second in one run, and how alike they see candidates.

    mavis rollouts benchmarks/pareto/q_lm/rollouts.yaml
    mavis distill benchmarks/pareto/q_lm/distill.yaml                      make the value that is measured here
    python -m benchmarks.q_lm                                              speed
    python -m benchmarks.q_lm --rollouts path/to/other/rollouts            speed, and agreement on those texts

Speed: the same prompts, rows and numbers of new tokens, no early stop; whole calls, prefill included, in turn.
Agreement: at places of texts that the ``q_lm`` was not taught on, both score the tokens that decoding compares there.

What else belongs to the comparison has commands of its own, each in the head of its file: ``cheerful_concise.yaml`` and
``curious_factual.yaml`` beside ``distill.yaml`` steer by both at equal KL, ``siblings.yaml`` ranks siblings by their
rewards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from benchmarks.comparison.prompts import prompts
from benchmarks.comparison.report import report, write
from benchmarks.comparison.rounds import in_turn, medians, quotient, seconds
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from value_models import durable
from value_models.folders import load_value
from value_models.loading import SHIPPED_POLICY, load_policy, value_folders
from value_models.rollouts.shards import MANIFEST, read_shard, shard_path
from value_models.training.distill import load_teachers
from value_models.training.teaching import Queries, teach_tree

PROMPT_TOKENS = 32
PLACES = 16
"""Of every tree, where candidates are compared."""


def speed(policy: Policy, values: dict[str, str], rows: int, tokens: int, rounds: int) -> dict[str, Any]:
    """Tokens per second of every value and without one at ``rows`` rows, and their ratios."""
    # Every round has the same prompts: with their KV cached, there would be no prefill in it.
    config = EngineConfig(max_num_seqs=rows, max_num_batched_tokens=max(2048, rows), enable_prefix_caching=False)
    asked = prompts(rows, PROMPT_TOKENS, policy.vocab_size)
    runs: dict[str, Callable[[int], None]] = {}
    for name, place in values.items():
        value = load_value(value_folders(place)[0], policy)
        steer = Guidance({objective.name: 0.5 for objective in value.spec.objectives}, beta=1.0)
        engine = Engine(policy, [value], config)
        runs |= {} if runs else {"unguided": partial(_answer, engine, asked, None)}
        runs[name] = partial(_answer, engine, asked, steer)
    for run in runs.values():
        run(4)  # warms up
    times = in_turn({name: partial(seconds, partial(run, tokens)) for name, run in runs.items()}, rounds)
    found = {name: [rows * tokens / each for each in taken] for name, taken in times.items()}
    ratios = {f"{name} / unguided": quotient(found[name], found["unguided"]) for name in values}
    return {"rows": rows, "tokens_per_s": medians(found), **ratios, "q_lm / lm": quotient(found["q_lm"], found["lm"])}


def _answer(engine: Engine, asked: list[list[int]], guidance: Guidance | None, tokens: int) -> None:
    found = generate(engine, asked, SamplingParams(max_tokens=tokens, ignore_eos=True, seed=1), guidance)
    assert all(len(choices[0].token_ids) == tokens for choices in found)


def agreement(policy: Policy, values: dict[str, str], rollouts: Path, count: int) -> dict[str, dict[str, float]]:
    """By objective, how the ``q_lm`` scores candidates compared with the ``lm``, over ``count`` trees."""
    made = durable.read_json(rollouts / MANIFEST)
    forests = (read_shard(shard_path(rollouts, index)) for index in range(made["shards"]))
    trees = [forest.tree(root) for forest in forests for root in forest.roots.tolist()][:count]
    modules: list[nn.Module] = []
    names: dict[str, list[str]] = {}
    for name, place in values.items():
        (module,), objectives, _ = load_teachers([place], policy)
        modules.append(module)
        names[name] = [objective.name for objective in objectives]
    width = made["settings"]["top_k"]
    queries, said = Queries(PLACES, width, width), []
    for key, tree in enumerate(trees):
        packed, _ = teach_tree(policy, modules, tree, key, queries, np.random.default_rng(key))
        added = len(packed.ids) - len(tree.tokens)
        said.append(packed.drawn.targets[-added:].view(-1, width, packed.drawn.targets.shape[1]))
    both = torch.cat(said)
    first = both[:, :, : len(names["lm"])]
    second = both[:, :, len(names["lm"]) :]
    return {name: alike(first[:, :, m], second[:, :, names["q_lm"].index(name)]) for m, name in enumerate(names["lm"])}


def alike(first: Tensor, second: Tensor) -> dict[str, float]:
    """Two scores of the candidates at Q places, each (Q, K): what differs from place to place is left out.

    Returns:
        mean over places of the correlation over candidates; share of pairs that both rank alike; share of the first's
        variance within places that the second explains.
    """
    x, y = (each - each.mean(dim=1, keepdim=True) for each in (first.double(), second.double()))
    size = (x.norm(dim=1) * y.norm(dim=1)).clamp_min(1e-12)
    i, j = torch.triu_indices(*[x.shape[1]] * 2, offset=1)
    same = ((x[:, i] - x[:, j]) * (y[:, i] - y[:, j]) > 0).double()
    return {
        "correlation": round(float(((x * y).sum(dim=1) / size).mean()), 4),
        "pairs_ranked_alike": round(float(same.mean()), 4),
        "variance_explained": round(float(1 - (x - y).square().sum() / x.square().sum()), 4),
    }


def main(
    value: Annotated[str, typer.Option(help="the q_lm, as mavis serve --values")] = "benchmarks/pareto/run/q_lm/value",
    lm: Annotated[str, typer.Option(help="the lm, likewise")] = "shipped:lm",
    model: Annotated[str, typer.Option(help="folder or hub id of their policy")] = str(SHIPPED_POLICY),
    rollouts: Annotated[Path | None, typer.Option(help="of texts that the q_lm was not taught on")] = None,
    trees: Annotated[int, typer.Option(help="how many of these", min=1)] = 100,
    rows: Annotated[list[int] | None, typer.Option(help="rows of the batch; may be repeated")] = None,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 96,
    rounds: int = 7,
    device: str = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Measure and print; one line per number of rows, and one of agreement."""
    values = {"lm": lm, "q_lm": value}
    policy = load_policy(model, EngineConfig(device=device))
    results: list[dict[str, Any]] = []
    if rollouts is not None:  # before engines take the models over
        results.append({"agreement": agreement(policy, values, rollouts, trees)})
        print(json.dumps(results[-1]), flush=True)
    for count in rows or [1, 8, 32]:
        results.append(speed(policy, values, count, tokens, rounds))
        print(json.dumps(results[-1]), flush=True)
    setting = {
        "prompt_tokens": PROMPT_TOKENS,
        "new_tokens": tokens,
        "rounds": rounds,
        "trees": trees if rollouts else 0,
    }
    write(report("q_lm", results, **setting, parameters=_parameters(policy, values)), out)


def _parameters(policy: Policy, values: dict[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, place in values.items():
        modules: Sequence[nn.Module] = load_teachers([place], policy)[0]
        found[name] = sum(parameter.numel() for module in modules for parameter in module.parameters())
    return found


if __name__ == "__main__":
    typer.run(main)
