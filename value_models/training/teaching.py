"""What a student is taught: its teachers' values, at every drawn token and at candidates beside some of them.

Decoding never asks for the one token that was drawn: it compares k candidates at one place, and most of them are in no
rollout. So at some places of every tree candidates are added as further tokens, side by side, each of which sees the
text before it and itself (as the student of MAVIS v3 is taught). Unlike rewards, what teachers say has no noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mavis_core.model.policy import Policy
from value_models.kinds.head_trainee import STATES_KEPT
from value_models.rollouts.forest import Forest
from value_models.rollouts.packing import NOTHING, PackedTree, TokenTargets, collate, pack
from value_models.rollouts.reading import read
from value_models.training.data import LabelledTrees, TrainingData, split


@dataclass(frozen=True, slots=True)
class Queries:
    """Where candidates are taught: in ``places`` of every tree, ``candidates`` of the policy's ``top_k`` likeliest."""

    places: int
    candidates: int
    top_k: int


def teach(
    policy: Policy,
    teachers: Sequence[nn.Module],
    trees: Sequence[Forest],
    queries: Queries,
    held_out: float,
    seed: int,
    progress: bool = True,
) -> TrainingData:
    """Every tree with the values of all teachers, split by prompt.

    Args:
        teachers: of a ``Batch`` each gives (A, M_i); their outputs side by side are what is taught.
        seed: chooses places, candidates and the split.
    """
    parts, room = [], STATES_KEPT
    with tqdm(total=len(trees), unit="tree", desc="teachers", disable=not progress) as bar:
        for side in split(trees, held_out, seed):
            made = []
            for key in side:
                tree, ends = teach_tree(policy, teachers, trees[key], key, queries, np.random.default_rng((seed, key)))
                assert tree.states is not None
                room -= tree.states.nbytes
                made.append((tree if room >= 0 else replace(tree, states=None), ends))
                bar.update()
            forest = Forest.concatenate([trees[key] for key in side])
            parts.append(
                LabelledTrees(forest, np.concatenate([ends for _, ends in made]), tuple(tree for tree, _ in made))
            )
    return TrainingData(*parts)


@torch.no_grad()
def teach_tree(
    policy: Policy,
    teachers: Sequence[nn.Module],
    tree: Forest,
    key: int,
    queries: Queries,
    generator: np.random.Generator,
) -> tuple[PackedTree, np.ndarray]:
    """One packed tree with candidates and the policy's states, which are read once for everybody, and the teachers'
    values at its node ends: (N, M), at the root their mean.
    """
    plain = pack(key, tree, NOTHING, NOTHING)
    drawn = torch.from_numpy(np.flatnonzero(np.repeat(tree.parent >= 0, tree.length)))
    chosen = generator.permutation(len(drawn))[: queries.places]
    places = plain.previous[drawn[np.sort(chosen)]].unique()
    states = read(policy, plain)
    full = with_candidates(plain, places, _candidates(policy, states[places.to(states.device)], queries, generator))
    every = torch.cat((drawn, torch.arange(len(plain.ids), len(full.ids))))
    asked = replace(full, drawn=TokenTargets(every, torch.zeros(len(every), 0)), states=states.cpu())
    batch = collate([asked], True, policy.device)
    taught = torch.cat([teacher.eval()(batch).float().cpu() for teacher in teachers], dim=1)
    below = np.flatnonzero(tree.parent >= 0)
    ends = torch.from_numpy((tree.start + tree.length - 1)[below])
    at_ends = taught[torch.searchsorted(drawn, ends)]
    targets = np.zeros((len(tree), taught.shape[1]))
    targets[below] = at_ends.numpy()
    targets[0] = at_ends.mean(dim=0).numpy()
    return replace(asked, ends=TokenTargets(ends, at_ends), drawn=TokenTargets(every, taught)), targets


def with_candidates(tree: PackedTree, places: Tensor, candidates: Tensor) -> PackedTree:
    """The tree with further tokens, each a node of its own that nothing follows.

    Args:
        places: (Q,) int64 indices of tokens; candidates stand right behind them.
        candidates: (Q, C) int64 ids.
    """
    count, width = candidates.shape
    before = places.repeat_interleave(width)
    nodes, added = len(tree.ancestors), count * width
    ancestors = torch.zeros(nodes + added, nodes + added, dtype=torch.bool)
    ancestors[:nodes, :nodes] = tree.ancestors
    ancestors[nodes:, :nodes] = tree.ancestors[tree.node[before]]
    ancestors[nodes:, nodes:] = torch.eye(added, dtype=torch.bool)
    return replace(
        tree,
        ids=torch.cat((tree.ids, candidates.flatten())),
        positions=torch.cat((tree.positions, tree.positions[before] + 1)),
        node=torch.cat((tree.node, torch.arange(nodes, nodes + added))),
        ancestors=ancestors,
        previous=torch.cat((tree.previous, before)),
    )


def _candidates(policy: Policy, states: Tensor, queries: Queries, generator: np.random.Generator) -> Tensor:
    """Some of the tokens that decoding would compare after each of Q hidden states (Q, D): (Q, C)."""
    with torch.no_grad():
        logits = policy.logits(states.to(policy.dtype))
    likely = logits.topk(min(queries.top_k, logits.shape[1]), dim=1).indices.cpu()
    width = min(queries.candidates, likely.shape[1])
    order = np.argsort(generator.random(likely.shape), axis=1)[:, :width]
    return likely.gather(1, torch.from_numpy(order))
