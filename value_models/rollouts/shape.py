"""The shape of a tree of responses (MAVIS, arXiv 2508.13415): how many children, how deep, how long the segments.

    root: 4 children; every other node: 2; 5 layers -> 64 leaves, 124 nodes
    segment length of every layer but the last: uniform on 1 ... 2 floor(tokens left / layers left), one draw per node
    last layer: to the stop token or the limit

Flat rollouts are the tree of one layer.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

from mavis_core.api.errors import RunError


@dataclass(frozen=True, slots=True)
class Shape:
    """What is grown below a prompt.

    Attributes:
        kind: "tree", or "flat": independent responses.
        layers: of a tree.
        root_children, children: of the prompt, of every other node that has not ended.
        split_layers: a child that ends by a stop token in one of the first so many layers is cut at a random point,
            so that the tree branches there all the same; 0 never cuts.
        samples: of a flat rollout; None is as many as spend the tokens of this tree (if nothing ends early).
        max_tokens: most tokens of a response.
    """

    kind: Literal["tree", "flat"] = "tree"
    layers: int = 5
    root_children: int = 4
    children: int = 2
    split_layers: int = 1
    samples: int | None = None
    max_tokens: int = 128

    def __post_init__(self) -> None:
        limits = {"layers": 16, "root_children": 128, "children": 128, "max_tokens": 1 << 20}
        for name, most in limits.items():
            if not 1 <= getattr(self, name) <= most:
                raise RunError(f"rollouts.shape.{name}={getattr(self, name)}: must be 1 to {most}")
        if not 0 <= self.split_layers <= self.layers:
            raise RunError(f"rollouts.shape.split_layers={self.split_layers}: must be 0 to layers={self.layers}")
        if self.samples is not None and not 1 <= self.samples <= 128:
            raise RunError(f"rollouts.shape.samples={self.samples}: must be 1 to 128")

    @property
    def depth(self) -> int:
        """Layers that are grown."""
        return 1 if self.kind == "flat" else self.layers

    def branches(self, layer: int) -> int:
        """Children of a node whose children are in ``layer`` (0 is the prompt's)."""
        if self.kind == "flat":
            return self.samples or self.equal_samples
        return self.root_children if layer == 0 else self.children

    def expected_tokens(self, layer: int) -> float:
        """Tokens of one tree's nodes in ``layer``, on average, where nothing ends before the limit.

        A segment takes an equal share of what is left, on average; so each layer's nodes have that of the limit.
        """
        nodes = math.prod(self.branches(above) for above in range(layer + 1))
        return nodes * self.max_tokens / self.depth

    def segment(self, left: int, layer: int, rng: random.Random) -> int:
        """Length of the segments of one node's children, with ``left`` tokens to the limit."""
        return left if layer == self.depth - 1 else min(rng.randint(1, self._longest(left, layer)), left)

    def splits(self, layer: int) -> bool:
        return self.kind == "tree" and layer < min(self.split_layers, self.layers - 1)

    @property
    def equal_samples(self) -> int:
        """How many whole responses cost the expected tokens of this tree, when nothing ends early."""

        @cache
        def below(left: int, layer: int) -> float:
            if left == 0 or layer == self.layers:
                return 0.0
            branches = self.root_children if layer == 0 else self.children
            if layer == self.layers - 1:
                return float(branches * left)
            draws = [min(n, left) for n in range(1, self._longest(left, layer) + 1)]
            return branches * sum(n + below(left - n, layer + 1) for n in draws) / len(draws)

        return min(128, max(1, round(below(self.max_tokens, 0) / self.max_tokens)))

    def _longest(self, left: int, layer: int) -> int:
        return max(1, 2 * (left // (self.layers - layer)))
