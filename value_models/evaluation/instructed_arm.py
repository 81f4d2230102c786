"""Arms of instructions: the policy that is told what to be, with nothing but its system message.

An instruction has no strength and no weights in between: it is there or it is not. So all weights above 0 of both axes
are the same point, the policy told both; it is sampled once and counts for each of them.
"""

from __future__ import annotations

from typing import Any

from mavis_core.api.errors import RunError
from mavis_core.api.guidance import Guidance
from mavis_core.model.policy import Policy
from mavis_core.values.protocol import ValueFunction
from value_models.evaluation.config import EvaluationConfig
from value_models.evaluation.points import BASE, Point, points_of

STRENGTH = "told"


class InstructedArm:
    """The policy under the instructions of the axes whose weight is above 0; a weight below 0 cannot be told."""

    def __init__(self, name: str, config: EvaluationConfig) -> None:
        self._name, self._config = name, config
        self._instructions = config.arms[name].instructions
        if not self.points:
            raise RunError(f"arms.{name}: no share of {config.grid} has a weight above 0 and none below")

    @property
    def points(self) -> list[Point]:
        shares = [share for share in self._config.grid if self._can_be_told(share)]
        return points_of(self._name, shares, [STRENGTH])

    def _can_be_told(self, share: float) -> bool:
        weights = Point(self._name, share).weights(self._config.axes).values()
        return min(weights) >= 0 < max(weights)

    def check(self, policy: Policy) -> None:
        """Nothing but the prompts can be wrong, and they are encoded before anything is sampled."""

    def about(self) -> dict[str, Any]:
        return {"instructions": self._instructions}

    def about_point(self, point: Point) -> dict[str, Any]:
        return {}

    def served(self, point: Point) -> str:
        return f"{BASE} told {self._name}"

    def values(self, point: Point, policy: Policy) -> list[ValueFunction]:
        return []

    def guidance(self, point: Point) -> Guidance:
        return Guidance(top_k=self._config.top_k)

    def instruction(self, point: Point) -> str:
        weights = point.weights(self._config.axes)
        return " ".join(self._instructions[axis] for axis in self._config.axes if weights[axis] > 0)
