"""Labels: the reward of every finished text, one file per shard of rollouts, resumed where it stopped.

On rollouts of the base model the constants for z-scoring are measured at the end and stored with the labels. Rollouts
of a steered policy get the same rewards, but are no sample to measure those constants on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mavis_core.api.errors import RunError
from mavis_core.api.tokenizer import Tokenizer
from value_models import durable
from value_models.progress import progress_bar
from value_models.prompts import Prompt
from value_models.rewards.identity import identities
from value_models.rewards.normalisation import Array, Normalisation
from value_models.rewards.registry import RewardConfig
from value_models.rewards.reward import Guarded, TreeReward
from value_models.rollouts.forest import Forest
from value_models.rollouts.shards import MANIFEST, read_arrays, read_shard, shard_path, write_arrays
from value_models.training.targets import sample_shares

CONSTANTS = "normalisation.json"
AT_ONCE = 128
"""Responses that a reward is given at a time, so that there is progress to tell between."""


def label(
    rollouts: Path,
    prompts: Sequence[Prompt],
    tokenizer: Tokenizer,
    rewards: Sequence[Guarded],
    configs: dict[str, RewardConfig],
    folder: Path,
    progress: bool = True,
) -> int:
    """Fill ``folder`` with the rewards of every leaf of ``rollouts``; how many shards were labelled in this run.

    Raises:
        RunError: rollouts are missing or unfinished, or the folder belongs to other rewards.
        RewardError: naming the reward.
    """
    made = durable.read_json(rollouts / MANIFEST)
    about = {
        "rollouts": made,
        "rewards": identities(configs, rewards),
        "descriptions": {reward.name: reward.description for reward in rewards},
    }
    durable.write_or_match(folder / MANIFEST, about)
    left = [index for index in range(made["shards"]) if not shard_path(folder, index).exists()]
    with progress_bar(made["shards"], "shards", "labels", progress, made["shards"] - len(left)) as bar:
        for index in left:
            forest = read_shard(shard_path(rollouts, index))
            scores = _scores(rewards, prompts, forest, tokenizer, bar.update)
            write_arrays(shard_path(folder, index), {"rewards": scores}, {"index": index})
    if not (made["settings"]["weights"] or made["settings"].get("mixture")) and not (folder / CONSTANTS).exists():
        found = measure([reward.name for reward in rewards], *read_all(rollouts, folder))
        durable.write_json(folder / CONSTANTS, {"mean": found.mean.tolist(), "std": found.std.tolist()})
    return len(left)


def _scores(
    rewards: Sequence[Guarded],
    prompts: Sequence[Prompt],
    forest: Forest,
    tokenizer: Tokenizer,
    progress: Callable[[float], object],
) -> Array:
    """(L, M) float64; ``progress`` is told which share more of a shard is scored."""
    asked = [prompts[number] for number in forest.prompt[forest.leaves].tolist()]
    of_trees = [prompts[number] for number in forest.prompt[forest.roots].tolist()]
    texts = forest.texts(tokenizer)

    def share(done: float) -> None:
        progress(done / len(rewards))

    columns = [
        reward.score_trees(of_trees, forest, share)
        if isinstance(reward.reward, TreeReward)
        else _of_texts(reward, asked, texts, share)
        for reward in rewards
    ]
    return np.ascontiguousarray(np.array(columns, dtype=np.float64).T)


def _of_texts(
    reward: Guarded, asked: Sequence[Prompt], texts: Sequence[str], progress: Callable[[float], object]
) -> list[float]:
    found: list[float] = []
    for start in range(0, len(texts), AT_ONCE):
        own = slice(start, start + AT_ONCE)
        found += reward.score(asked[own], texts[own])
        progress(len(texts[own]) / len(texts))
    return found


def measure(names: Sequence[str], forest: Forest, rewards: Array) -> Normalisation:
    """Mean and standard deviation of each reward over the base model's responses."""
    return Normalisation.measure(names, rewards, sample_shares(forest))


def read_all(rollouts: Path, folder: Path) -> tuple[Forest, Array]:
    """All trees and the rewards (L, M) of their leaves.

    Raises:
        RunError: a shard is missing, or its labels are not of this shard.
    """
    forests, rewards = [], []
    for index in range(durable.read_json(rollouts / MANIFEST)["shards"]):
        forests.append(read_shard(shard_path(rollouts, index)))
        path = shard_path(folder, index)
        rewards.append(read_arrays(path, ["rewards"])["rewards"])
        if len(rewards[-1]) != len(forests[-1].leaves):
            raise RunError(f"{path}: has {len(rewards[-1])} rewards for {len(forests[-1].leaves)} responses")
    return Forest.concatenate(forests), np.concatenate(rewards)


def check_same(one: Path, other: Path) -> None:
    """Refuse labels by different rewards, or in another order, to be trained on together.

    Raises:
        RunError: naming both folders.
    """
    rewards = [list(durable.read_json(folder / MANIFEST)["rewards"].items()) for folder in (one, other)]
    if rewards[0] != rewards[1]:
        raise RunError(f"{one}: was labelled with other rewards than {other}")


def read_constants(folder: Path, names: Sequence[str]) -> Normalisation:
    """The constants that ``label`` measured.

    Raises:
        RunError: there are none, or not of all these rewards.
    """
    labelled: dict[str, Any] | None = durable.read_json(folder / MANIFEST).get("rewards")
    if labelled is None:
        raise RunError(f"{folder}: is not a folder that `mavis label` filled")
    if not set(names) <= set(labelled):
        raise RunError(f"{folder}: has labels of {', '.join(labelled)}, not of {', '.join(names)}")
    found = durable.read_json(folder / CONSTANTS)
    at = [list(labelled).index(name) for name in names]
    return Normalisation(np.array(found["mean"])[at], np.array(found["std"])[at])
