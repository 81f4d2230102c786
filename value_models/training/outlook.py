"""The forecast of one run: how much of it is left, tried on the engine that is about to do it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mavis_core.api.tokenizer import Tokenizer
from mavis_core.engine import Engine
from value_models.prompts import Prompt
from value_models.rewards.reward import Guarded, TreeReward
from value_models.rollouts.forest import Forest
from value_models.rollouts.shards import read_shard, shard_path
from value_models.training.data import TargetSettings
from value_models.training.forecast import Forecast, Work, forecast, rollouts_alone, tree_size
from value_models.training.run_config import RunConfig
from value_models.training.trial import Learned, Sampled, try_learning, try_reading, try_sampling, try_scoring

LOOKED_AT = 3
"""Shards of an earlier sitting that tell how long responses are."""


class Foreseen(Protocol):
    """What of a ``Run`` is looked at."""

    config: RunConfig
    rollouts_folder: Path
    labels_folder: Path
    training_folder: Path

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def prompts(self) -> list[Prompt]: ...
    @property
    def rewards(self) -> list[Guarded]: ...
    @property
    def target_settings(self) -> TargetSettings: ...


def outlook(run: Foreseen, engine: Engine, encoded: Sequence[Sequence[int]], whole: bool) -> Forecast:
    """Args:
    engine: idle, and idle afterwards.
    encoded: token ids of the run's prompts.
    whole: of all steps; else of the rollouts alone, which need no rewards.
    """
    config = run.config
    sampled = try_sampling(engine, encoded, config.rollouts, config.seed)
    work = _work(run, encoded)
    if not whole:
        return rollouts_alone(work, sampled)
    judges = [name for name, reward in config.rewards.items() if reward.judge is not None]
    scoring = _scoring(run, sampled, judges, work) if work.unlabelled else 0.0
    return forecast(work, sampled, scoring, _learned(run, engine, sampled), config.train, engine, judges)


def _work(run: Foreseen, encoded: Sequence[Sequence[int]]) -> Work:
    config, count = run.config, len(encoded)
    shape, size = config.rollouts.shape, config.rollouts.shard_prompts
    starts = list(range(0, count, size))
    sizes = {index: min(size, count - start) for index, start in enumerate(starts)}
    rolled = [index for index in sizes if shard_path(run.rollouts_folder, index).exists()]
    labelled = [index for index in sizes if shard_path(run.labels_folder, index).exists()]
    seen = [read_shard(shard_path(run.rollouts_folder, index)) for index in rolled[:LOOKED_AT]]
    tokens, responses = _seen(seen) if seen else tree_size(shape)
    log = run.training_folder / "log.jsonl"
    epochs = len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0
    return Work(
        prompts=count,
        prompts_left=count - sum(sizes[index] for index in rolled),
        unlabelled=count - sum(sizes[index] for index in labelled),
        tokens=tokens,
        responses=responses,
        at_most=not seen,
        prompt_tokens=float(np.mean([len(ids) for ids in encoded])),
        epochs_left=max(0, config.train.epochs - epochs),
        tuned=min(round(config.train.held_out * count), config.train.beta_prompts) * len(config.rewards),
        max_tokens=shape.max_tokens,
        objectives=len(config.rewards),
    )


def _seen(shards: Sequence[Forest]) -> tuple[float, float]:
    """(tokens, responses) of a tree."""
    trees = sum(len(shard.roots) for shard in shards)
    return sum(shard.sampled for shard in shards) / trees, sum(len(shard.leaves) for shard in shards) / trees


def _scoring(run: Foreseen, sampled: Sampled, judges: Sequence[str], work: Work) -> float:
    """Seconds per response of all rewards but judges, on texts as long as the longest will be, or on trees."""
    forest = sampled.forest
    lengths = [len(forest.response(leaf)) for leaf in forest.leaves.tolist()]
    most = run.config.rollouts.shape.max_tokens
    texts = [text * (most // max(1, length)) for text, length in zip(forest.texts(run.tokenizer), lengths, strict=True)]
    known = [reward for reward in run.rewards if reward.name not in judges]
    reading = [reward for reward in known if isinstance(reward.reward, TreeReward)]
    per_token = sum(try_reading(reward, run.prompts, forest) for reward in reading)
    of_trees = per_token * (work.tokens + work.prompt_tokens) / work.responses
    return of_trees + sum(try_scoring(reward, run.prompts, texts) for reward in known if reward not in reading)


def _learned(run: Foreseen, engine: Engine, sampled: Sampled) -> Learned | None:
    """None for an ``lm`` that begins as a whole model: a second one in memory is too much for a forecast."""
    config = run.config
    if config.train.kind == "lm" and config.train.lm.backbone != "small":
        return None
    mixture = config.rollouts.mixture
    return try_learning(
        engine.policy,
        sampled.forest,
        len(config.rewards),
        config.train,
        run.target_settings,
        config.seed,
        mixture.beta if mixture else None,
    )
