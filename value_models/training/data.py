"""Labelled rollouts as what a value learns from: packed trees with z-scored targets, split by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mavis_core.errors import RunError
from value_models.rewards.normalisation import Array, Normalisation
from value_models.rollouts.forest import Forest
from value_models.training.labels import read_all
from value_models.training.packing import PackedTree, pack
from value_models.training.targets import KlTarget, examples, node_targets


@dataclass(frozen=True, slots=True)
class Part:
    """Trees on one side of the split.

    Attributes:
        forest: all of them; N nodes.
        targets: (N, M) at node ends, z-units; at roots the mean over the prompt's responses.
        trees: packed, in the same order.
    """

    forest: Forest
    targets: Array
    trees: tuple[PackedTree, ...]

    @property
    def prompts(self) -> list[int]:
        return [int(number) for number in self.forest.prompt[self.forest.roots]]

    @property
    def constant(self) -> Array:
        """(M,) mean target, over node ends."""
        return np.asarray(self.targets[self.forest.parent >= 0].mean(axis=0))


@dataclass(frozen=True, slots=True)
class Data:
    train: Part
    held_out: Part


def load(
    rollouts: Path, labels: Path, constants: Normalisation, zeta: float, kl: KlTarget, held_out: float, seed: int
) -> Data:
    """Read, z-score, split.

    Raises:
        RunError: files are missing or damaged, or there are too few prompts to hold any out.
    """
    forest, rewards = read_all(rollouts, labels)
    return prepare(forest, constants.apply(rewards), zeta, kl, held_out, seed)


def prepare(forest: Forest, rewards: Array, zeta: float, kl: KlTarget, held_out: float, seed: int) -> Data:
    """Split a forest with z-scored rewards (L, M) of its leaves.

    Equal prompts stay together: a text that is both trained on and held out would measure memory.
    """
    leaves = np.split(rewards, np.cumsum(np.bincount(_tree_of(forest)[forest.leaves]))[:-1])
    trees = [forest.tree(root) for root in forest.roots.tolist()]
    sides = split(trees, held_out, seed)
    train, test = (part([trees[i] for i in side], [leaves[i] for i in side], side, zeta, kl) for side in sides)
    return Data(train, test)


def held_out_count(share: float, distinct: int) -> int:
    """How many of so many different prompts are only measured on.

    Raises:
        RunError: none, or all.
    """
    count = round(share * distinct)
    if not 0 < count < distinct:
        raise RunError(f"train.held_out={share}: leaves {count} of {distinct} different prompts to measure on")
    return count


def split(trees: Sequence[Forest], held_out: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the trees to train on and of those to measure on; equal prompts on the same side.

    Raises:
        RunError: there are too few different prompts.
    """
    texts = [tuple(tree.own_tokens(0)) for tree in trees]
    distinct = sorted(set(texts))
    count = held_out_count(held_out, len(distinct))
    chosen = {distinct[i] for i in np.random.default_rng(seed).permutation(len(distinct))[:count]}
    sides: tuple[list[int], list[int]] = ([], [])
    for i, text in enumerate(texts):
        sides[text in chosen].append(i)
    return sides


def part(trees: Sequence[Forest], rewards: Sequence[Array], keys: Sequence[int], zeta: float, kl: KlTarget) -> Part:
    """Trees, each with the z-scored rewards (L, M) of its leaves, as one side; keys are unique among both sides."""
    packed = [
        pack(key, tree, examples(tree, own, False, zeta, kl), examples(tree, own, True, zeta, kl))
        for key, tree, own in zip(keys, trees, rewards, strict=True)
    ]
    forest = Forest.concatenate(trees)
    return Part(forest, node_targets(forest, np.concatenate(rewards), zeta, kl), tuple(packed))


def _tree_of(forest: Forest) -> np.ndarray:
    return np.asarray(np.cumsum(forest.parent < 0) - 1)
