"""What each shipped objective is measured by; higher is more of it. Rewards that ship, but for the number of words.

The reward ``concise`` ends at 60 words, which is where a real model's answers begin: here words are counted to the end.
How each can be fooled stands in its own module; none of them is a judge of quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from value_models.prompts import Prompt
from value_models.rewards.registry import load


@dataclass(frozen=True, slots=True)
class Measure:
    """Attributes:
    label: what is shown, and in which unit.
    reward: its name among those that ship; none is minus the number of words.
    sign: -1 where what is shown is minus the score.
    """

    label: str
    reward: str | None = None
    sign: int = 1

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        """One number per response, more where there is more of the objective."""
        if self.reward is None:
            return [-float(len(response.split())) for response in responses]
        return list(load(self.reward).score(prompts, responses))


MEASURES = {
    "cheerful": Measure("VADER, -1 to 1", "cheerful"),
    "concise": Measure("words", sign=-1),
    "formal": Measure("formality per word", "formal"),
    "simple": Measure("Flesch reading ease / 100", "simple"),
    "curious": Measure("asks, 0 to 1", "curious"),
    "vivid": Measure("words of the senses, share", "vivid"),
    "cautious": Measure("hedges, share", "cautious"),
    "playful": Measure("marks of play per word", "playful"),
    "empathetic": Measure("words of feeling, share", "empathetic"),
    "structured": Measure("lines that are points, share", "structured"),
}
