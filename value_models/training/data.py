"""From labelled rollouts to what a value is trained on: packed trees with z-scored targets, split by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mavis_core.api.errors import RunError
from value_models.rewards.normalisation import Array, Normalisation
from value_models.rollouts.forest import Forest
from value_models.rollouts.packing import PackedTree, pack
from value_models.training.labels import read_all
from value_models.training.targets import KlTarget, all_targets, examples, with_products


@dataclass(frozen=True, slots=True)
class LabelledTrees:
    """Packed trees with their targets: one side of the split.

    Attributes:
        forest: all of them; N nodes.
        targets: (N, M) at node ends, z-units; at roots the mean over the prompt's responses. For values conditioned on
            the weights one more column, the KL still to come in nats; for those that learn how rewards vary, products.
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
class TrainingData:
    train: LabelledTrees
    held_out: LabelledTrees


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Which targets trees get, see ``targets``."""

    zeta: float = 0.0
    kl: KlTarget = "future"
    with_kl_to_go: bool = False
    products: bool = False


def load(
    sources: Sequence[tuple[Path, Path]], constants: Normalisation, settings: TargetSettings, held_out: float, seed: int
) -> TrainingData:
    """Read, z-score, split.

    Args:
        sources: (rollouts, labels) folders, trained on together; trees without weights of their own count as grown
            at 0.

    Raises:
        RunError: files are missing or damaged, or there are too few prompts to hold any out.
    """
    read = [read_all(rollouts, labels) for rollouts, labels in sources]
    width = max(forest.tilt_weights.shape[1] for forest, _ in read)
    forest = Forest.concatenate([with_pull(forest, width) for forest, _ in read])
    return prepare(forest, constants.apply(np.concatenate([rewards for _, rewards in read])), settings, held_out, seed)


def with_pull(forest: Forest, width: int) -> Forest:
    """The forest with ``width`` weights per tree, 0 where it has none: trees of the base model."""
    if forest.tilt_weights.shape[1]:
        return forest
    return replace(forest, tilt_weights=np.zeros((len(forest), width), dtype=np.float32))


def prepare(forest: Forest, rewards: Array, settings: TargetSettings, held_out: float, seed: int) -> TrainingData:
    """Split a forest with z-scored rewards (L, M) of its leaves.

    Equal prompts stay together: a text that is both trained on and held out would measure memory.
    """
    if settings.products:
        rewards = with_products(rewards)
    leaves = np.split(rewards, np.cumsum(np.bincount(_tree_of(forest)[forest.leaves]))[:-1])
    trees = [forest.tree(root) for root in forest.roots.tolist()]
    sides = split(trees, held_out, seed)
    train, test = (labelled([trees[i] for i in side], [leaves[i] for i in side], side, settings) for side in sides)
    return TrainingData(train, test)


def held_out_count(share: float, distinct: int) -> int:
    """How many of ``distinct`` different prompts are held out: measured on and not trained on.

    Raises:
        RunError: none, or all.
    """
    count = round(share * distinct)
    if not 0 < count < distinct:
        raise RunError(f"train.held_out={share}: leaves {count} of {distinct} different prompts to measure on")
    return count


def split_keys(texts: Sequence[Any]) -> list[Any]:
    """One key per tree, given the trees' prompts: trees of equal keys are all trained on, or all held out.

    The key is the prompt, so that no text is both learned and measured. If all trees have one and the same prompt, each
    tree is its own key: such a value is never asked for another text.
    """
    return list(range(len(texts))) if len(set(texts)) == 1 else list(texts)


def split(trees: Sequence[Forest], held_out: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the trees to train on and of those to measure on; see ``split_keys``.

    Raises:
        RunError: there are too few different prompts.
    """
    texts = split_keys([tuple(tree.own_tokens(0)) for tree in trees])
    distinct = sorted(set(texts))
    count = held_out_count(held_out, len(distinct))
    chosen = {distinct[i] for i in np.random.default_rng(seed).permutation(len(distinct))[:count]}
    sides: tuple[list[int], list[int]] = ([], [])
    for i, text in enumerate(texts):
        sides[text in chosen].append(i)
    return sides


def labelled(
    trees: Sequence[Forest], rewards: Sequence[Array], keys: Sequence[int], settings: TargetSettings
) -> LabelledTrees:
    """Pack trees to be trained on, or to be held out.

    Args:
        rewards: of each tree's leaves, z-scored, (L, M).
        keys: one number per tree, unique among all trees of the run.
    """
    packed = [
        pack(
            key,
            tree,
            examples(tree, own, False, settings.zeta, settings.kl, settings.with_kl_to_go),
            examples(tree, own, True, settings.zeta, settings.kl, settings.with_kl_to_go),
        )
        for key, tree, own in zip(keys, trees, rewards, strict=True)
    ]
    forest = Forest.concatenate(trees)
    targets = all_targets(forest, np.concatenate(rewards), settings.zeta, settings.kl, settings.with_kl_to_go)
    return LabelledTrees(forest, targets, tuple(packed))


def _tree_of(forest: Forest) -> np.ndarray:
    return np.asarray(np.cumsum(forest.parent < 0) - 1)
