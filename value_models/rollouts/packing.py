"""A whole tree in one forward: its tokens once each, every token seeing its own path only.

One example per node would run the prompt and every shared prefix again for each node below it. Packed, a token's
position is its depth in the text and its attention reaches exactly the tokens of its ancestors, so every hidden state
equals that of the plain text, and so do the gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mavis_core.model.windows import smallest_window
from value_models.rollouts.forest import Forest

Examples = tuple[NDArray[np.int64], NDArray[np.float64]]
NOTHING: Examples = np.zeros(0, dtype=np.int64), np.zeros((0, 0))
"""No examples."""


@dataclass(frozen=True, slots=True)
class TokenTargets:
    """What predictions at tokens of a tree should be: at (E,) int64, some of them twice, targets (E, M) float32 in
    z-units.
    """

    at: Tensor
    targets: Tensor

    @classmethod
    def of(cls, examples: Examples) -> TokenTargets:
        return cls(torch.from_numpy(examples[0]), torch.from_numpy(examples[1].astype(np.float32)))


@dataclass(frozen=True, slots=True)
class PackedTree:
    """One tree of N nodes and T tokens.

    Attributes:
        key: unique among the trees of a run.
        ids: (T,) int64 tokens.
        positions: (T,) int64 tokens before each on its path.
        node: (T,) int64 the node each belongs to.
        ancestors: (N, N) bool, [n, m]: m is n or above it.
        previous: (T,) int64 index of the token before each on its path, -1 for the first of the prompt.
        ends, drawn: what can be asked for, of node ends and of every token (``targets.examples``).
        tilt_weights: (M,) float32 beta * lambda under which it grew; empty where trees have none of their own.
        states: (S, D) float32 the policy's last hidden states at the first S tokens, those that something follows;
            None where nobody has kept them.
    """

    key: int
    ids: Tensor
    positions: Tensor
    node: Tensor
    ancestors: Tensor
    previous: Tensor
    ends: TokenTargets
    drawn: TokenTargets
    tilt_weights: Tensor
    states: Tensor | None = None


def pack(key: int, tree: Forest, ends: Examples, drawn: Examples) -> PackedTree:
    """Lay out one tree, a forest with one root, with its examples at node ends and at every token."""
    nodes = len(tree)
    ancestors = np.eye(nodes, dtype=bool)
    before = np.zeros(nodes, dtype=np.int64)
    for node in range(1, nodes):  # parents stand before their children
        parent = tree.parent[node]
        ancestors[node] |= ancestors[parent]
        before[node] = before[parent] + tree.length[parent]
    last = tree.start + tree.length - 1
    owner = np.repeat(np.arange(nodes), tree.length)
    offset = np.arange(len(owner)) - tree.start[owner]
    above = np.where(tree.parent < 0, -1, last[tree.parent])
    previous = np.where(offset == 0, above[owner], np.arange(len(owner)) - 1)
    return PackedTree(
        key=key,
        ids=torch.from_numpy(tree.tokens),
        positions=torch.from_numpy(before[owner] + offset),
        node=torch.from_numpy(owner),
        ancestors=torch.from_numpy(ancestors),
        previous=torch.from_numpy(previous),
        ends=TokenTargets.of(ends),
        drawn=TokenTargets.of(drawn),
        tilt_weights=torch.from_numpy(tree.tilt_weights[0].copy()),
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """R packed trees, padded on the right to T tokens.

    Attributes:
        trees: what it was made of, on the host.
        every_token: whether every token is asked for, or node ends only.
        ids, positions, previous: (R, T) int64.
        asked: (A,) int64, where predictions are wanted, counted over the flattened (R, T).
        targets: (A, M) float32 there.
    """

    trees: tuple[PackedTree, ...]
    every_token: bool
    ids: Tensor
    positions: Tensor
    previous: Tensor
    asked: Tensor
    targets: Tensor

    def tilt_weights(self) -> Tensor:
        """(A, M) float32, of the tree that each prediction is wanted for."""
        of_trees = torch.stack([tree.tilt_weights for tree in self.trees]).to(self.asked.device)
        return of_trees[self.asked // self.ids.shape[1]]

    def mask(self, window: int | None = None, first: int | None = None) -> Tensor:
        """(R, 1, T, T) bool: query sees itself and what is earlier on its path; padding sees itself.

        Args:
            window: only so many tokens of the path, the query itself among them.
            first: in place of T, only so many tokens of every tree.
        """
        total = self.ids.shape[1] if first is None else first
        found = torch.eye(total, dtype=torch.bool).repeat(len(self.trees), 1, 1)
        for row, tree in enumerate(self.trees):
            own = min(len(tree.ids), total)
            positions, node = tree.positions[:own], tree.node[:own]
            behind = positions[:, None] - positions[None, :]
            earlier = behind > 0 if window is None else (behind > 0) & (behind < window)
            found[row, :own, :own] |= tree.ancestors[node][:, node] & earlier
        return found[:, None].to(self.ids.device)

    def inputs(self, config: Any, first: int | None = None) -> dict[str, Any]:
        """What a transformers backbone of ``config`` is given to read the trees, through its sliding windows.

        Args:
            first: only so many tokens of every tree, which see none of the others; None is all.
        """
        window = smallest_window(config)
        mask: Any = self.mask(window, first)
        if window is not None and getattr(config, "layer_types", None) is not None:
            mask = {"full_attention": self.mask(None, first), "sliding_attention": mask}
        ids, positions = self.ids[:, :first], self.positions[:, :first]
        return {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "use_cache": False}


def collate(trees: Sequence[PackedTree], every_token: bool, device: torch.device) -> Batch:
    wanted = [tree.drawn if every_token else tree.ends for tree in trees]
    longest = max(len(tree.ids) for tree in trees)
    asked = torch.cat([each.at + row * longest for row, each in enumerate(wanted)])
    targets = torch.cat([each.targets for each in wanted])
    ids, positions, previous = (
        pad_sequence([getattr(tree, name) for tree in trees], batch_first=True).to(device)
        for name in ("ids", "positions", "previous")
    )
    return Batch(tuple(trees), every_token, ids, positions, previous, asked.to(device), targets.to(device))
