"""Trees of responses as flat arrays: what a file of rollouts holds, and what labels and targets are computed on.

A node is a segment of tokens that continues its parent; a root is a prompt. Nodes stand in depth-first order: parents
before their children, and every tree in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mavis_core.api.tokenizer import Tokenizer

OPEN, STOP, LENGTH = 0, 1, 2
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Forest:
    """N nodes with T tokens in all; M objectives where every tree has weights of its own, else 0.

    Attributes:
        prompt: (N,) which prompt of the file the node's tree belongs to.
        parent: (N,) index of the parent, -1 for a root.
        layer: (N,) 0 for the prompt's children, -1 for a root.
        start, length: (N,) where the node's tokens stand.
        finish: (N,) OPEN, STOP (its last token is a stop token) or LENGTH; a leaf is a node that is not OPEN.
        tail: (N,) 1 for the rest of a response that was cut so that its tree branches (``Shape.split_layers``).
        tokens: (T,) ids.
        policy_logprobs, base_logprobs: (T,) nats, of each token under the distribution it was drawn from (the tilted
            or filtered one) and under the base model over its full vocabulary; 0 for prompts.
        tilt_weights: (N, M) beta * lambda that steered the node's tree.
        steering: (T,) nats, the steering KL of the step that drew each token, exactly; 0 for prompts.
    """

    prompt: Ints
    parent: Ints
    layer: Ints
    start: Ints
    length: Ints
    finish: Ints
    tail: Ints
    tokens: Ints
    policy_logprobs: Floats
    base_logprobs: Floats
    tilt_weights: Floats
    steering: Floats

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def roots(self) -> Ints:
        return np.flatnonzero(self.parent < 0)

    @property
    def leaves(self) -> Ints:
        return np.flatnonzero(self.finish != OPEN)

    @property
    def sampled(self) -> int:
        """Tokens that were drawn."""
        return int(self.length[self.parent >= 0].sum())

    def path(self, node: int) -> list[int]:
        """Nodes from below the root to ``node``."""
        found: list[int] = []
        while self.parent[node] >= 0:
            found.append(node)
            node = int(self.parent[node])
        return found[::-1]

    @property
    def path_lengths(self) -> NDArray[np.float64]:
        """(N,) tokens from below the root to the end of every node."""
        return self.path_sums(np.ones(len(self.tokens)))

    def path_sums(self, per_token: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over all tokens from below the root to the end of every node: (T,) -> (N,); 0 for roots."""
        ends = np.concatenate(([0.0], np.cumsum(per_token)))
        found: NDArray[np.float64] = ends[self.start + self.length] - ends[self.start]
        found[self.roots] = 0
        for layer in range(1, int(self.layer.max()) + 1):
            own = np.flatnonzero(self.layer == layer)
            found[own] += found[self.parent[own]]
        return found

    def own_tokens(self, node: int) -> list[int]:
        start = int(self.start[node])
        found: list[int] = self.tokens[start : start + int(self.length[node])].tolist()
        return found

    def response(self, leaf: int) -> list[int]:
        """Token ids of a whole response, its stop token included."""
        return [token for node in self.path(leaf) for token in self.own_tokens(node)]

    def texts(self, tokenizer: Tokenizer) -> list[str]:
        """What a reader sees of every leaf, in the order of ``leaves``."""
        seen = [self.response(leaf)[: -1 if self.finish[leaf] == STOP else None] for leaf in self.leaves.tolist()]
        return [tokenizer.decode(ids, skip_special_tokens=True) for ids in seen]

    def tree(self, root: int) -> Forest:
        """One tree as a forest of its own."""
        later = self.roots[self.roots > root]
        nodes = slice(root, int(later[0]) if len(later) else len(self))
        first, last = int(self.start[root]), int(self.start[nodes][-1] + self.length[nodes][-1])
        parent = np.where(self.parent[nodes] < 0, -1, self.parent[nodes] - root)
        changed = {"parent": parent, "start": self.start[nodes] - first}
        for name in ("tokens", "policy_logprobs", "base_logprobs", "steering"):
            changed[name] = getattr(self, name)[first:last]
        return Forest(**{f.name: changed.get(f.name, getattr(self, f.name)[nodes]) for f in fields(self)})

    @classmethod
    def concatenate(cls, forests: Sequence[Forest]) -> Forest:
        nodes = np.cumsum([0, *(len(forest) for forest in forests)])
        tokens = np.cumsum([0, *(len(forest.tokens) for forest in forests)])
        parts = {f.name: [getattr(forest, f.name) for forest in forests] for f in fields(cls)}
        parts["parent"] = [np.where(p < 0, -1, p + n) for p, n in zip(parts["parent"], nodes[:-1], strict=True)]
        parts["start"] = [s + t for s, t in zip(parts["start"], tokens[:-1], strict=True)]
        return cls(**{name: np.concatenate(arrays) for name, arrays in parts.items()})
