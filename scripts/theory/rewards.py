"""Two standard normal rewards of every finished text, correlated by -0.6, each text's its own.

Nothing carries over from one text to another, so a value can only know what it has seen, and the base model's values
are of little use where texts are steered far.

``scripts.theory.rewards:seed_3_a`` is what a run's file calls the first reward of seed 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

CORRELATION = -0.6
NAMES = ("a", "b")


@cache
def pair(seed: int, text: str) -> tuple[float, float]:
    """Both rewards of a finished text, its letters without spaces."""
    x, y = np.random.default_rng((seed, 11, *text.encode())).normal(size=2).tolist()
    return x, CORRELATION * x + (1 - CORRELATION**2) ** 0.5 * y


def __getattr__(name: str) -> Callable[[Any, Sequence[str]], list[float]]:
    found = re.fullmatch(r"seed_(\d+)_([ab])", name)
    if found is None:
        raise AttributeError(name)
    seed, column = int(found[1]), NAMES.index(found[2])

    def reward(prompts: Any, responses: Sequence[str]) -> list[float]:
        return [pair(seed, text.replace(" ", ""))[column] for text in responses]

    reward.__doc__ = f"Reward {found[2]} of the token MDP of seed {seed}."
    return reward
