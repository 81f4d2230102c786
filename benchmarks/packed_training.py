"""Packed training: a tree in one forward against one example per node, on real trees, side by side in one run.

    python -m benchmarks.packed_training --out benchmarks/results/packed_training.json

Trees of the model that ships, with four random rewards and a target at every node end. Packed, eight trees a batch as
``mavis train`` takes them; plain, every node's whole text as an example of its own, 32 to a batch, padded on the right
and sorted by length, which spares the plain way most of its padding. Both compute the gradient of the same mean over
all nodes. Told are tokens (without padding), seconds of forward and backward, and how far the gradients differ: the
norm of the difference over the norm.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from benchmarks.machine import describe
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy, resolve_device
from value_models.kinds.head_network import unit_rms
from value_models.kinds.head_trainee import HeadTrainee
from value_models.kinds.lm import LmTrainee
from value_models.kinds.lm_backbone import LmConfig
from value_models.loading import SHIPPED_POLICY
from value_models.prompts import read_prompts
from value_models.rollouts.forest import Forest
from value_models.rollouts.grow import grow
from value_models.rollouts.packing import PackedTree, collate, pack
from value_models.rollouts.shape import Shape
from value_models.training.export import make_trainee
from value_models.training.targets import examples
from value_models.training.train_config import TrainConfig

OBJECTIVES = 4
PROMPTS = Path("examples/train/prompts.jsonl")
Predict = Callable[[Tensor, Tensor, Tensor], Tensor]


class Trees:
    """What is trained on, packed and plain.

    Attributes:
        packed: one per tree.
        texts, targets: of every node below a root: its whole text (T,), its target (M,); sorted by length.
    """

    def __init__(self, forests: Sequence[Forest]) -> None:
        generator = np.random.default_rng(0)
        self.packed: list[PackedTree] = []
        plain: list[tuple[Tensor, Tensor]] = []
        for key, tree in enumerate(forests):
            scores = generator.normal(size=(len(tree.leaves), OBJECTIVES))
            made = pack(key, tree, examples(tree, scores, False), examples(tree, scores, True))
            self.packed.append(made)
            for node in range(1, len(tree)):
                text = torch.tensor(tree.own_tokens(0) + tree.response(node))
                plain.append((text, made.ends.targets[node - 1]))
        plain.sort(key=lambda pair: len(pair[0]))
        self.texts, self.targets = [text for text, _ in plain], [target for _, target in plain]

    @property
    def tokens(self) -> dict[str, int]:
        return {"packed": sum(len(tree.ids) for tree in self.packed), "plain": sum(map(len, self.texts))}


def train_packed(trainee: nn.Module, trees: Trees, size: int, device: torch.device) -> None:
    """Gradients of the mean squared error over all nodes, ``size`` trees at a time."""
    every = len(trees.texts) * OBJECTIVES
    for start in range(0, len(trees.packed), size):
        batch = collate(trees.packed[start : start + size], False, device)
        (((trainee(batch) - batch.targets) ** 2).sum() / every).backward()


def train_plain(predict: Predict, trees: Trees, size: int, device: torch.device) -> None:
    """The same, one example per node, ``size`` examples at a time."""
    every = len(trees.texts) * OBJECTIVES
    for start in range(0, len(trees.texts), size):
        own = slice(start, start + size)
        lengths = torch.tensor([len(text) for text in trees.texts[own]], device=device)
        ids = pad_sequence(trees.texts[own], batch_first=True).to(device)
        mask = torch.arange(ids.shape[1], device=device) < lengths[:, None]
        targets = torch.stack(trees.targets[own]).to(device)
        (((predict(ids, mask, lengths - 1) - targets) ** 2).sum() / every).backward()


def plainly(trainee: nn.Module, policy: Policy) -> Predict:
    """The trainee's predictions at the last token of whole texts: ids and mask (B, T), last (B,) -> (B, M)."""

    def lm(ids: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        assert isinstance(trainee, LmTrainee)
        states = trainee.backbone(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
        found: Tensor = trainee.readout(states[torch.arange(len(ids)), last])
        return found

    def head(ids: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        assert isinstance(trainee, HeadTrainee)
        own = torch.arange(len(ids))
        with torch.no_grad():
            out = policy.backbone.base(input_ids=ids, attention_mask=mask.long(), use_cache=False)
        embedded = unit_rms(policy.readout.weight)[ids[own, last]]
        table = trainee.network.read_tokens(embedded)
        found: Tensor = trainee.network(out.last_hidden_state[own, last - 1].float(), table[:, None])[:, 0]
        return found

    return lm if isinstance(trainee, LmTrainee) else head


def gradient(trainee: nn.Module, run: Callable[[], None]) -> tuple[float, Tensor]:
    """(Seconds, the gradient of all parameters as one vector)."""
    trainee.zero_grad()
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    return seconds, torch.cat([p.grad.flatten() for p in trainee.parameters() if p.grad is not None])


def measure(kind: str, policy: Policy, trees: Trees, rounds: int, device: torch.device) -> dict[str, Any]:
    """Seconds of both ways and how far their gradients differ."""
    lm = LmConfig("policy" if kind == "lm of the policy's size" else "small")
    config = TrainConfig(kind="head" if kind == "head" else "lm", lm=lm)
    made = make_trainee(policy, OBJECTIVES, config, 0).to(device)
    trainee = HeadTrainee(policy, made.network, keep=0).to(device) if isinstance(made, HeadTrainee) else made
    for p in trainee.parameters():
        if p.requires_grad and not p.abs().sum():
            nn.init.normal_(p, std=0.1)  # an untrained readout is 0, and would let no gradient through
    predict = plainly(trainee, policy)
    seconds: dict[str, list[float]] = {"packed": [], "plain": []}
    for _ in range(rounds):
        took, packed = gradient(trainee, lambda: train_packed(trainee, trees, config.batch_trees, device))
        seconds["packed"].append(took)
        took, plain = gradient(trainee, lambda: train_plain(predict, trees, 32, device))
        seconds["plain"].append(took)
    quotients = [x / y for x, y in zip(seconds["plain"], seconds["packed"], strict=True)]
    return {
        "seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "plain / packed": round(statistics.median(quotients), 2),
        "gradients_differ": float(((packed - plain).norm() / plain.norm()).item()),
    }


def main(
    trees: Annotated[int, typer.Option(help="How many.")] = 32,
    max_tokens: Annotated[int, typer.Option(help="Of a response.")] = 128,
    rounds: Annotated[int, typer.Option(help="Of which medians are taken.")] = 5,
    device: str = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Measure, print, and fail where more than a third of the tokens is left or the gradients differ."""
    place = resolve_device(device)
    policy = Policy.load(str(SHIPPED_POLICY), place, torch.float32)
    assert policy.tokenizer is not None
    engine = Engine(policy, [], EngineConfig(max_num_seqs=64))
    prompts = [(i, prompt.encode(policy.tokenizer)) for i, prompt in enumerate(read_prompts(PROMPTS, trees))]
    forest = grow(engine, prompts, Shape(max_tokens=max_tokens), Guidance(), 40, 0)
    made = Trees([forest.tree(root) for root in forest.roots.tolist()])
    kinds = ("head", "lm", "lm of the policy's size")
    found = {kind: measure(kind, policy, made, rounds, place) for kind in kinds}
    share = made.tokens["packed"] / made.tokens["plain"]
    report = {
        "benchmark": "packed_training",
        "trees": trees,
        "nodes": len(made.texts),
        "rounds": rounds,
        "machine": describe(),
        "tokens": made.tokens,
        "packed_share": round(share, 3),
        "results": found,
    }
    print(json.dumps(report, indent=2))
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")
    if share > 1 / 3 or any(each["gradients_differ"] > 1e-4 for each in found.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
