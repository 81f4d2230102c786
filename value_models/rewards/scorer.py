"""Rewards as the scorer of a search: the loaded ones, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from mavis_core.errors import LoadError
from value_models.rewards.registry import load, names


class RewardScorer:
    """A ``SequenceScorer`` of rewards that ship.

    Args:
        wanted: their names, which are those of the objectives that they measure.

    Raises:
        LoadError: an unknown name, or one whose package is not installed.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        if unknown := [name for name in wanted if name not in names()]:
            raise LoadError(f"search_rewards: {', '.join(unknown)}: must be among {', '.join(names())}")
        self.names = tuple(wanted)
        try:
            self._rewards = [load(name) for name in wanted]
        except ImportError as error:
            raise LoadError(
                f"search_rewards: {error.name} is not installed (pip install 'mavis-server[train]')"
            ) from error

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, ...]]:
        """(N, M), in the units of the rewards."""
        return list(zip(*(reward(prompts, responses) for reward in self._rewards), strict=True))
