"""A run's rewards side by side, as what ranks the texts of a search."""

from __future__ import annotations

from collections.abc import Sequence

from mavis_core.api.errors import ConfigError, RewardError
from value_models.prompts import Prompt
from value_models.rewards.registry import load
from value_models.rewards.reward import Guarded


class RewardScorer:
    """A ``SequenceScorer`` of rewards that ship.

    Args:
        wanted: their names, which are those of the objectives that they measure.

    Raises:
        ConfigError: an unknown name, or one whose package is not installed.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self.names = tuple(wanted)
        try:
            self._rewards = [Guarded(load(name)) for name in wanted]
            self.score([], [])  # what a reward needs is imported when it first scores
        except RewardError as error:
            raise ConfigError(f"search_rewards: {error}") from error

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, ...]]:
        """(N, M), in the units of the rewards; raises RewardError."""
        read = [Prompt(prompt) for prompt in prompts]
        return list(zip(*(reward.score(read, responses) for reward in self._rewards), strict=True))
