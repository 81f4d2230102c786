"""The contract every reward meets, and the guard around whatever claims to meet it.

A reward sees finished texts only. The prompt is handed over because judges and learned rewards read it; the four
rewards of the model that ships ignore it and score the response alone. Code that is not ours scores most of the time,
so its answers are checked where they come in: a NaN in a label would surface hours later as a value without sense.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mavis_core.api.errors import RewardError
from value_models.prompts import Prompt

if TYPE_CHECKING:
    from value_models.rollouts.forest import Forest

TRIED = ("Thank you, that is a good question.", "No.")


class Reward(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Sequence[float]:
        """One finite number per response, in order; ``prompts`` and ``responses`` have equal length."""
        ...


@runtime_checkable
class TreeReward(Reward, Protocol):
    """A reward that reads the trees of rollouts, where that is cheaper or says more than their texts one by one."""

    def score_trees(
        self, prompts: Sequence[Prompt], forest: Forest, progress: Callable[[float], object]
    ) -> Sequence[float]:
        """One finite number per leaf of ``forest``, in order; ``prompts`` are those of its trees."""
        ...


@dataclass(frozen=True, slots=True)
class Guarded:
    """A reward whose failures name it.

    Attributes:
        reward: what is guarded.
        told: a description in place of its own.

    Raises:
        RewardError: from ``score``: the reward raised, or gave the wrong number of scores, or one is not finite.
    """

    reward: Reward
    told: str = ""

    @property
    def name(self) -> str:
        return self.reward.name

    @property
    def description(self) -> str:
        return self.told or self.reward.description

    def try_out(self, prompt: Prompt) -> None:
        """Score two texts, so that what always fails does so before anything is sampled: with one alone, a single
        number for all texts would pass.
        """
        self.score([prompt] * len(TRIED), TRIED)

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        found = self._asked(lambda: self.reward.score(prompts, responses), len(responses))
        return [self._finite(score, repr(text[:80])) for score, text in zip(found, responses, strict=True)]

    def score_trees(
        self, prompts: Sequence[Prompt], forest: Forest, progress: Callable[[float], object]
    ) -> list[float]:
        """Of a ``TreeReward``."""
        reward = self.reward
        assert isinstance(reward, TreeReward)
        found = self._asked(lambda: reward.score_trees(prompts, forest, progress), len(forest.leaves))
        return [self._finite(score, "a response of a tree") for score in found]

    def _asked(self, score: Callable[[], Sequence[float]], count: int) -> list[float]:
        try:
            found = list(score())
        except RewardError:
            raise
        except Exception as error:  # whatever foreign code raises, the reward is the culprit
            raise RewardError(self.name, f"raised {type(error).__name__}: {error}") from error
        if len(found) != count:
            raise RewardError(self.name, f"gave {len(found)} scores for {count} responses")
        return found

    def _finite(self, score: float, text: str) -> float:
        if not isinstance(score, Real) or not math.isfinite(score):
            raise RewardError(self.name, f"gave {score!r} for {text}: must be a finite number")
        return float(score)
