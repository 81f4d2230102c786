"""Tree rollouts: the engine against one ``generate()`` call of transformers per node, side by side in one run.

    python -m benchmarks.rollouts --out benchmarks/results/rollouts.json

Every round grows the paper's trees (5 layers, 4 children and then 2) below fresh prompts on the engine, a shard as
``mavis rollouts`` makes it, log-probabilities included. Then some of the very same trees are drawn again by the same
model in transformers, with its KV cache, in two ways: a call per node whose input is the node's whole prefix, and, less
naive, a call per parent that returns all its children. Node for node there are as many new tokens as in the engine's
tree; no log-probabilities are asked for. A ratio is the median over rounds of the round's own quotient of new tokens
per second.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from transformers import AutoModelForCausalLM

from benchmarks.machine import describe
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy, resolve_device
from value_models.loading import SHIPPED_POLICY
from value_models.prompts import read_prompts
from value_models.rollouts.forest import Forest
from value_models.rollouts.grow import grow
from value_models.rollouts.shape import Shape

TOP_K = 40
PROMPTS = Path("examples/train/prompts.jsonl")
Call = tuple[list[int], int, int]


def per_node(tree: Forest) -> Iterator[Call]:
    """(prefix, sequences, new tokens) of the calls that draw a tree node by node."""
    for node, length in enumerate(drawn_lengths(tree).tolist()):
        if length:
            yield prefix(tree, int(tree.parent[node])), 1, length


def per_parent(tree: Forest) -> Iterator[Call]:
    """The same with one call for all children of a node; it ends with the longest of them."""
    lengths = drawn_lengths(tree)
    for parent in np.unique(tree.parent[lengths > 0]).tolist():
        own = lengths[(tree.parent == parent) & (lengths > 0)]
        yield prefix(tree, parent), len(own), int(own.max())


def drawn_lengths(tree: Forest) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Tokens that were drawn in one go at each node, (N,): a cut node's with its tail's; 0 at roots and tails."""
    lengths = np.where(tree.parent < 0, 0, tree.length)
    tails = np.flatnonzero(tree.tail)
    lengths[tree.parent[tails]] += tree.length[tails]
    lengths[tails] = 0
    return lengths


def prefix(tree: Forest, node: int) -> list[int]:
    """All tokens up to the end of a node."""
    return tree.own_tokens(0) + tree.response(node)


class Generate:
    """transformers' own ``generate()`` on weights of its own."""

    def __init__(self, path: Path, device: torch.device, dtype: torch.dtype) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype).to(device).eval()
        self.device = device

    @torch.inference_mode()
    def run(self, calls: Iterator[Call]) -> None:
        for text, sequences, tokens in calls:
            ids = torch.tensor([text], device=self.device)
            found = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=1.0,
                top_k=TOP_K,
                max_new_tokens=tokens,
                num_return_sequences=sequences,
                eos_token_id=None,
                pad_token_id=0,
                use_cache=True,
            )
            assert found.shape == (sequences, len(text) + tokens)


def measure(rounds: int, prompts: int, sample: int, max_tokens: int, rows: int, device: torch.device) -> dict[str, Any]:
    """Speeds of the three ways and their ratios."""
    policy = Policy.load(str(SHIPPED_POLICY), device, torch.float32 if device.type == "cpu" else torch.bfloat16)
    policy.pack()
    engine = Engine(policy, [], EngineConfig(max_num_seqs=rows, max_num_batched_tokens=max(2048, rows)))
    naive = Generate(SHIPPED_POLICY, device, policy.dtype)
    assert policy.tokenizer is not None
    encoded = [prompt.encode(policy.tokenizer) for prompt in read_prompts(PROMPTS)]
    shape = Shape(max_tokens=max_tokens)
    speeds: dict[str, list[float]] = {"engine": [], "generate per node": [], "generate per parent": []}
    trees: list[Forest] = []

    def shard(count: int, seed: int) -> Forest:
        engine.forget_prefixes()
        chosen = [(i, encoded[(seed * count + i) % len(encoded)]) for i in range(count)]
        return grow(engine, chosen, shape, Guidance(), TOP_K, seed)

    warm = shard(2, 0).tree(0)
    for calls in (per_node, per_parent):
        naive.run(call for call, _ in zip(calls(warm), range(4), strict=False))
    for seed in range(1, rounds + 1):
        began = time.perf_counter()
        forest = shard(prompts, seed)
        speeds["engine"].append(forest.sampled / (time.perf_counter() - began))
        grown = [forest.tree(root) for root in forest.roots[:sample].tolist()]
        trees += grown
        for name, calls in (("generate per node", per_node), ("generate per parent", per_parent)):
            began = time.perf_counter()
            for tree in grown:
                naive.run(calls(tree))
            speeds[name].append(sum(tree.sampled for tree in grown) / (time.perf_counter() - began))
        print({name: round(values[-1], 1) for name, values in speeds.items()}, flush=True)

    def ratios(name: str) -> dict[str, float]:
        found = [x / y for x, y in zip(speeds["engine"], speeds[name], strict=True)]
        return {"median": round(statistics.median(found), 2), "lowest": round(min(found), 2)}

    return {
        "tokens_per_s": {name: round(statistics.median(values), 1) for name, values in speeds.items()},
        "engine / generate per node": ratios("generate per node"),
        "engine / generate per parent": ratios("generate per parent"),
        "nodes_per_tree": round(float(np.mean([np.count_nonzero(drawn_lengths(tree)) for tree in trees])), 1),
        "new_tokens_per_tree": round(float(np.mean([tree.sampled for tree in trees])), 1),
        "mean_prompt_tokens": round(float(np.mean([tree.length[0] for tree in trees])), 1),
    }


def main(
    rounds: Annotated[int, typer.Option(help="Each with prompts and a seed of its own.")] = 7,
    prompts: Annotated[int, typer.Option(help="Trees per round on the engine; a shard has 64.")] = 64,
    sample: Annotated[int, typer.Option(help="Of them, trees per round through generate().")] = 16,
    max_tokens: Annotated[int, typer.Option(help="Of a response.")] = 128,
    rows: Annotated[int, typer.Option(help="Rows of the engine.")] = 128,
    device: str = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Measure, print, and fail below the ratio of 5 that is claimed."""
    settings = {"rounds": rounds, "prompts": prompts, "sample": sample, "max_tokens": max_tokens, "rows": rows}
    found = measure(rounds, prompts, sample, max_tokens, rows, resolve_device(device))
    report = {"benchmark": "rollouts", "shape": "shipped", **settings, "machine": describe(), "results": found}
    print(json.dumps(report, indent=2))
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")
    if found["engine / generate per node"]["median"] < 5:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
