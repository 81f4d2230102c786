"""The contract every reward meets, and the guard around whatever claims to meet it.

A reward sees finished texts only. The prompt is handed over because judges and learned rewards read it; the four
rewards of the model that ships ignore it and score the response alone. Code that is not ours scores most of the time,
so its answers are checked where they come in: a NaN in a label would surface hours later as a value without sense.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

from mavis_core.api.errors import RewardError
from value_models.prompts import Prompt

TRIED = ("Thank you, that is a good question.", "No.")


class Reward(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Sequence[float]:
        """One finite number per response, in order; ``prompts`` and ``responses`` have equal length."""
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
        try:
            found = list(self.reward.score(prompts, responses))
        except RewardError:
            raise
        except Exception as error:  # whatever foreign code raises, the reward is the culprit
            raise RewardError(self.name, f"raised {type(error).__name__}: {error}") from error
        if len(found) != len(responses):
            raise RewardError(self.name, f"gave {len(found)} scores for {len(responses)} responses")
        for score, response in zip(found, responses, strict=True):
            if not isinstance(score, Real) or not math.isfinite(score):
                raise RewardError(self.name, f"gave {score!r} for {response[:80]!r}: must be a finite number")
        return [float(score) for score in found]
