"""How one request steers: objective weights and the strength and limits of the tilt.

Only the product ``beta * weight`` matters to the optimum (MAVIS, arXiv 2508.13415; weights are not
normalised, negative ones avoid an objective). All weights 0, or beta 0, is a plain request: no candidates,
no truncation, no value evaluated. With floors, a worst case or something to maximise, weights are found at each step
(``mavis_core/sample/multipliers.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from mavis_core.api.bounds import check_integer, check_number
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.search_params import SearchParams

MAX_WEIGHT = 16.0
MAX_BETA = 64.0
MAX_CANDIDATES = 256
MAX_KL_PER_TOKEN = 1000.0
MAX_FLOOR = 64.0
MAX_SOLVED = 8
"""Objectives in each of ``floors``, ``maximise`` and ``worst_case``."""
MAX_NAME_SHOWN = 80  # characters of an objective's name in messages; it has not been looked up yet

Scope = Literal["answer", "all", "reasoning"]


@dataclass(frozen=True, slots=True)
class Guidance:
    """Steering of one request.

    Attributes:
        weights: objective name -> lambda, each -16 to 16. Names are checked against the loaded values by
            the engine, which knows them.
        beta: strength in nats per reward standard deviation, 0 to 64; None is the recommended beta of the
            objectives asked for (their mean, weighted by |lambda|).
        top_k: candidates per step, 1 to 256 (the paper's k, 40).
        max_kl_per_token: most steering KL per token in nats, or None; the tilt is scaled down to meet it.
        normalise: "none" (the paper's v3) or "minmax" (its v1/v2: the combined value of the candidates is
            scaled to 0..1 at each step).
        allow_empty: whether a guided answer may begin with a stop token.
        report: whether each token carries its base log-probability and every objective's value.
        scope: what is steered: "answer" (neither tool calls nor reasoning, nor what a structure leaves hardly a choice
            about), "reasoning", or "all". Any other token is drawn as if the request were unguided.
        search: how the answer is searched for among several, or None; run by ``mavis_core.search``, not the engine.
        floors: objective name -> what its expected value over a step's candidates must be at least, in the objective's
            units (z-units of values, nats of objectives in words), each -64 to 64. Its weight is raised as far as that
            takes, at most to the highest that the objective accepts. Floors come before weights, and
            ``max_kl_per_token`` before floors.
        floors_relative: count floors from what the policy's own candidates are expected to be worth at the step.
        maximise: objectives whose sum is pulled up as far as ``max_kl_per_token`` allows, in place of weights.
        worst_case: two or more objectives whose weights are found: the least of their expected values counts, with
            strength beta, beside what ``weights`` ask for.

    Raises:
        InvalidRequestError: naming the field.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    beta: float | None = None
    top_k: int = 40
    max_kl_per_token: float | None = None
    normalise: Literal["none", "minmax"] = "none"
    allow_empty: bool = False
    report: bool = False
    scope: Scope = "answer"
    search: SearchParams | None = None
    floors: Mapping[str, float] = field(default_factory=dict)
    floors_relative: bool = False
    maximise: tuple[str, ...] = ()
    worst_case: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        weights = {
            name: check_number(f"objective_weights.{name[:MAX_NAME_SHOWN]}", weight, -MAX_WEIGHT, MAX_WEIGHT)
            for name, weight in self.weights.items()
        }
        object.__setattr__(self, "weights", weights)
        if self.beta is not None:
            object.__setattr__(self, "beta", check_number("guidance.beta", self.beta, 0, MAX_BETA))
        check_integer("guidance.top_k", self.top_k, 1, MAX_CANDIDATES)
        if (limit := self.max_kl_per_token) is not None:
            limit = check_number("guidance.max_kl_per_token", limit, 0, MAX_KL_PER_TOKEN)
            object.__setattr__(self, "max_kl_per_token", limit)
        if self.normalise not in ("none", "minmax"):
            raise InvalidRequestError(
                f"guidance.normalise={self.normalise!r}: must be 'none' or 'minmax'", "guidance.normalise"
            )
        if self.scope not in get_args(Scope):
            raise InvalidRequestError(
                f"guidance.scope={self.scope!r}: must be {', '.join(map(repr, get_args(Scope)))}", "guidance.scope"
            )
        self._check_solved()

    def _check_solved(self) -> None:
        floors = {
            name: check_number(f"guidance.floors.{name[:MAX_NAME_SHOWN]}", floor, -MAX_FLOOR, MAX_FLOOR)
            for name, floor in self.floors.items()
        }
        object.__setattr__(self, "floors", floors)
        for field_name, least in (("floors", 0), ("maximise", 0), ("worst_case", 2)):
            names = list(getattr(self, field_name))
            if names and not least <= len(names) <= MAX_SOLVED:
                allowed = f"{least} to {MAX_SOLVED}" if least else f"at most {MAX_SOLVED}"
                raise _refused(field_name, f"has {len(names)} objectives: must be {allowed}")
            if len(set(names)) < len(names):
                raise _refused(field_name, f"names {_twice(names)[:MAX_NAME_SHOWN]!r} twice")
        if self.floors_relative and not floors:
            raise _refused("floors_relative", "there are no guidance.floors that it could say something about")
        if self.maximise:
            self._check_maximise()
        if not self.solved:
            return
        asked = next(name for name in ("floors", "maximise", "worst_case") if getattr(self, name))
        if self.beta == 0:
            raise _refused("beta", f"0 asks for the plain model, which guidance.{asked} does not")
        if self.normalise != "none":
            raise _refused("normalise", f"{self.normalise!r} cannot be combined with guidance.{asked}")
        if self.search is not None:
            raise _refused("search", f"cannot be combined with guidance.{asked}")

    def _check_maximise(self) -> None:
        if self.max_kl_per_token is None:
            raise _refused("maximise", "goes as far as guidance.max_kl_per_token allows, which is not given")
        if self.beta is not None:
            raise _refused("beta", "has no use with guidance.maximise, whose strength is max_kl_per_token")
        if self.worst_case:
            raise _refused("worst_case", "cannot be combined with guidance.maximise")
        if weighed := [name for name, weight in self.weights.items() if weight]:
            raise _refused(
                "maximise",
                f"chooses the weights itself, but {weighed[0][:MAX_NAME_SHOWN]!r} has one; send objective_weights {{}}",
            )

    @property
    def solved(self) -> bool:
        """Whether weights are found at each step."""
        return bool(self.floors or self.maximise or self.worst_case)

    @property
    def active(self) -> bool:
        """Whether the request is guided at all; an inactive one is a plain base-model request."""
        return self.beta != 0 and (self.solved or any(self.weights.values()))

    @property
    def named(self) -> tuple[str, ...]:
        """All objectives that it names anywhere, each once."""
        return tuple(dict.fromkeys((*self.weights, *self.floors, *self.maximise, *self.worst_case)))

    def steers(self, name: str) -> bool:
        """Whether an objective may have an effect, and not only be reported."""
        found = self.weights.get(name) or name in self.floors or name in self.maximise or name in self.worst_case
        return self.active and bool(found)


def _refused(field_name: str, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"guidance.{field_name}: {what}", f"guidance.{field_name}")


def _twice(names: list[str]) -> str:
    return next(name for i, name in enumerate(names) if name in names[:i])
