"""A short look at what this machine does with this model, for the forecast: a few tokens, a few scores, two steps.

Everything goes through the code that the run itself uses, on the run's own prompts. Nothing that is drawn here is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss

from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from value_models.prompts import Prompt
from value_models.rewards.reward import Guarded
from value_models.rollouts.forest import Forest
from value_models.rollouts.grow import grow
from value_models.rollouts.packing import collate
from value_models.rollouts.roll_out import RolloutConfig
from value_models.rollouts.shape import Shape
from value_models.training.data import TargetSettings, labelled
from value_models.training.export import make_trainee
from value_models.training.train_config import TrainConfig

LENGTHS = (2, 8, 32)
"""Tokens of the responses that are tried; the first warms up and reads the prompts, whose KV the others find: most of
what it takes is not drawing."""
ENOUGH = 2.0
"""Seconds of one of the others after which no longer one is tried."""
SCORED = 16
READ = 4
"""Trees that are tried of a reward which reads trees."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was drawn, and how quickly.

    Attributes:
        forest: flat, a tree per prompt that was tried.
        rows: answers beside each other.
        tokens_per_second: drawn, of all rows together.
    """

    forest: Forest
    rows: int
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Learned:
    """Seconds per token of a tree of ``tokens`` tokens, when it is met first and when it is met again (a head keeps
    what it read); parameters that are trained.
    """

    first: float
    again: float
    tokens: float
    parameters: int


def try_sampling(engine: Engine, prompts: Sequence[Sequence[int]], config: RolloutConfig, seed: int) -> Sampled:
    """Draw from as many rows as the engine has, for a few seconds.

    Args:
        engine: idle, and idle afterwards.
        prompts: token ids of the run's.
    """
    each = min(config.shape.branches(0), engine.info.max_num_seqs)
    chosen = list(enumerate(prompts))[: max(1, engine.info.max_num_seqs // each)]
    guidance = [config.guidance(seed, number) for number, _ in chosen]
    lengths = sorted({min(length, config.shape.max_tokens) for length in LENGTHS})
    for length in lengths:
        shape = Shape(kind="flat", samples=each, max_tokens=length)
        began = time.perf_counter()
        forest = grow(engine, chosen, shape, guidance, config.top_k, seed, config.kept)
        seconds = time.perf_counter() - began
        if seconds > ENOUGH and length > lengths[0]:
            break
    return Sampled(forest, each * len(chosen), forest.sampled / seconds)


def try_scoring(reward: Guarded, prompts: Sequence[Prompt], texts: Sequence[str]) -> float:
    """Seconds per response."""
    asked = [prompts[i % len(prompts)] for i in range(SCORED)]
    began = time.perf_counter()
    reward.score(asked, [texts[i % len(texts)] for i in range(SCORED)])
    return (time.perf_counter() - began) / SCORED


def try_reading(reward: Guarded, prompts: Sequence[Prompt], forest: Forest) -> float:
    """Seconds per token of a tree and its prompt, of a reward that reads trees."""
    trees = [forest.tree(root) for root in forest.roots.tolist()][: READ + 1]

    def read(chosen: Sequence[Forest]) -> float:
        asked, began = [prompts[int(tree.prompt[0])] for tree in chosen], time.perf_counter()
        reward.score_trees(asked, Forest.concatenate(chosen), lambda share: None)
        return time.perf_counter() - began

    read(trees[:1])  # warms up
    measured = trees[min(1, len(trees) - 1) :]
    return read(measured) / sum(len(tree.tokens) for tree in measured)


def try_learning(
    policy: Policy,
    forest: Forest,
    objectives: int,
    config: TrainConfig,
    settings: TargetSettings,
    seed: int,
    largest: float | None,
) -> Learned:
    """Two steps of an untrained value on the trees that were drawn, with rewards of 0."""
    trees = [forest.tree(root) for root in forest.roots.tolist()][: config.batch_trees + 1]
    width = objectives + (objectives * (objectives + 1) // 2 if settings.products else 0)
    rewards = [np.zeros((len(tree.leaves), width)) for tree in trees]
    packed = labelled(trees, rewards, range(len(trees)), settings).trees
    trainee = make_trainee(policy, objectives, config, seed, largest).to(policy.device)

    def step(chosen: slice) -> float:
        batch = collate(packed[chosen], config.loss_at == "token", policy.device)
        return _timed(lambda: mse_loss(trainee(batch).float(), batch.targets).backward(), policy.device)

    step(slice(1))  # warms up, with a tree that is not measured
    measured = slice(min(1, len(packed) - 1), None)
    tokens = sum(len(tree.ids) for tree in packed[measured])
    first, again = step(measured), step(measured)
    return Learned(first / tokens, again / tokens, tokens / len(packed[measured]), _trained(trainee))


def _trained(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
