"""The bounds of one key, and a request's steering brought within them.

They apply after a request's weights have been resolved, wherever these came from, and to every endpoint, since all are
steered by ``server/steering.py``. What is out of bounds is not refused but brought to the nearest that is allowed, and
the answer says so: a client need not know its bounds to be served.

A weight that the bounds hold away from 0 would mean nothing if the request could turn steering itself down. So wherever
one is held, strength, budget, candidates, scope and search keep at least what they are without asking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import Field, FiniteFloat, model_validator

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import MAX_BETA, MAX_KL_PER_TOKEN, MAX_WEIGHT, Guidance
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.recommended_beta import recommended_beta
from server.protocol.fields import Strict
from server.weights import Weights

OTHERS = "*"
DEFAULTS = Guidance()
TUNED_KL = 0.2  # nats per token, which recommended betas are tuned to
Number = Annotated[FiniteFloat, Field(strict=False)]  # YAML's 1 is one


class Range(Strict):
    """``floor`` to ``ceiling``, both included and each optional; a number alone is both."""

    floor: Number | None = None
    ceiling: Number | None = None

    @model_validator(mode="before")
    @classmethod
    def _fixed(cls, value: object) -> object:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return {"floor": value, "ceiling": value} if is_number else value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise ValueError(f"floor {self.floor:g} is above ceiling {self.ceiling:g}")
        return self

    def clip(self, number: float) -> float:
        least = number if self.floor is None else max(number, self.floor)
        return least if self.ceiling is None else min(least, self.ceiling)

    def within(self, low: float, high: float) -> tuple[float, float]:
        """What it leaves of ``low`` to ``high``."""
        return self.clip(low), self.clip(high)

    def at_least(self, floor: float) -> Range:
        """With this floor, as far as the ceiling allows, where it has none of its own."""
        return self if self.floor is not None else Range(floor=self.clip(floor), ceiling=self.ceiling)


class Bounds(Strict):
    weights: dict[str, Range] = Field(default={}, description="By objective; * is every other one.")
    beta: Range = Range()
    max_kl_per_token: Range = Range()
    own_objectives: bool = Field(default=True, description="May requests describe objectives in words of their own?")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, weight in self.weights.items():
            _check(f"weights.{name}", weight, -MAX_WEIGHT, MAX_WEIGHT)
        _check("beta", self.beta, 0, MAX_BETA)
        _check("max_kl_per_token", self.max_kl_per_token, 0, MAX_KL_PER_TOKEN)
        if OTHERS in self.weights and self.weights[OTHERS].clip(0):
            raise ValueError(f"weights.{OTHERS}: must have 0 in it: most objectives are not named by most requests")
        return self

    @property
    def held(self) -> dict[str, float]:
        """Weights that are not 0 even where a request says nothing, at their nearest to it."""
        return {name: weight for name, bound in self.weights.items() if (weight := bound.clip(0))}

    def of(self, objective: str) -> Range:
        return self.weights.get(objective, self.weights.get(OTHERS, Range()))

    def bound_weights(self, asked: Weights) -> tuple[Weights, dict[str, Any]]:
        """The weights in force, and those of them that are not what was asked for, by field."""
        values = self.held | {name: self.of(name).clip(weight) for name, weight in asked.values.items()}
        changed = {name: weight for name, weight in values.items() if weight != asked.values.get(name, 0.0)}
        source = "bounds" if asked.source == "none" and changed else asked.source
        return Weights(values, source), {f"objective_weights.{name}": weight for name, weight in changed.items()}

    def bound_guidance(
        self, asked: Guidance, objectives: Mapping[str, ObjectiveInfo]
    ) -> tuple[Guidance, dict[str, Any]]:
        """The guidance in force, whose weights are bounded already, and what of it was not asked for, by field."""
        if not asked.solved and not any(asked.weights.values()):
            return asked, {}
        self._refuse_solved(asked)
        recommended, beta, limit = recommended_beta(asked, objectives), self.beta, self.max_kl_per_token
        made = asked
        if self.held:
            beta, limit = beta.at_least(recommended), limit.at_least(TUNED_KL)
            scope = DEFAULTS.scope if asked.scope == "reasoning" else asked.scope
            search = asked.search and replace(asked.search, tilt=True)
            made = replace(made, top_k=max(asked.top_k, DEFAULTS.top_k), scope=scope, search=search)
        strength = recommended if asked.beta is None else asked.beta
        if (bounded := beta.clip(strength)) != strength:
            made = replace(made, beta=bounded)
        budget = math.inf if asked.max_kl_per_token is None else asked.max_kl_per_token
        if (bounded := limit.clip(budget)) != budget:
            made = replace(made, max_kl_per_token=bounded)
        told = {f"guidance.{name}": getattr(made, name) for name in ("beta", "max_kl_per_token", "top_k", "scope")
                if getattr(made, name) != getattr(asked, name)}  # fmt: skip
        return made, told if made.search == asked.search else told | {"guidance.search.tilt": True}

    def _refuse_solved(self, asked: Guidance) -> None:
        """Raises InvalidRequestError where weights would be found at each step that these bounds hold."""
        for field in ("floors", "maximise", "worst_case"):
            for name in getattr(asked, field):
                if self.of(name) != Range():
                    raise InvalidRequestError(
                        f"guidance.{field}: finds the weight of {name!r} itself, which the operator's bounds hold",
                        f"guidance.{field}",
                    )
        if asked.maximise and self.beta != Range():
            raise InvalidRequestError(
                "guidance.maximise: finds its own strength, which the operator's bounds hold", "guidance.maximise"
            )


def _check(field: str, bound: Range, low: float, high: float) -> None:
    for number in (bound.floor, bound.ceiling):
        if number is not None and not low <= number <= high:
            raise ValueError(f"{field}: {number:g} must be {low:g} to {high:g}")
