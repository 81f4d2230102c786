"""How one request steers: objective weights and the strength and limits of the tilt.

Only the product ``beta * weight`` matters to the optimum (MAVIS, arXiv 2508.13415; weights are not
normalised, negative ones avoid an objective). All weights 0, or beta 0, is a plain request: no candidates,
no truncation, no value evaluated.
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

    @property
    def active(self) -> bool:
        """Whether the request is guided at all; an inactive one is a plain base-model request."""
        return self.beta != 0 and any(self.weights.values())
