"""The contract every reward meets.

A reward sees finished texts only. The prompt is handed over because judges and learned rewards read it; the four
rewards of the model that ships ignore it and score the response alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Reward(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """One finite number per response, in order; `prompts` and `responses` have equal length."""
        ...
