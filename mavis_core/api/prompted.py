"""Objectives that a request brings in words: the policy itself, told what to be, is what it is steered by.

    V(s + a) = log pi(a | s with the instruction) - log pi(a | s)        nats, at T = 1, before any edit

The core knows no chat template: whoever makes the request has put the instruction into the conversation and encoded it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIND: Final = "prompted"
RECOMMENDED_BETA: Final = 1.0  # weight 1 is then the instructed policy, over the candidates
WEIGHT_RANGE: Final = (-4.0, 4.0)
"""Of those that stay: beyond it few models go on making sense."""


@dataclass(frozen=True, slots=True)
class PromptedObjective:
    """One objective in words.

    Attributes:
        name: by which ``Guidance.weights`` knows it.
        prompt_token_ids: the request's prompt with the instruction in it. Where that is the prompt as it was, V is 0.
    """

    name: str
    prompt_token_ids: tuple[int, ...]
