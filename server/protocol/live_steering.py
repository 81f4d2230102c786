"""``PATCH /v1/requests/{id}/steering``: what changes of an answer's steering, and what is then in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import MAX_BETA, MAX_KL_PER_TOKEN
from server.protocol.fields import Strict, ranged
from server.protocol.steered_request import ObjectiveWeights


class LiveGuidance(Strict):
    beta: float | None = ranged(0, MAX_BETA, "Strength; null is the objectives' recommended one.")
    max_kl_per_token: float | None = ranged(0, MAX_KL_PER_TOKEN, "Most steering KL per token, in nats; null: no limit.")


class SteeringPatch(Strict):
    """What is left out stays as it is."""

    objective_weights: ObjectiveWeights | None = Field(
        default=None, description="In place of the whole map; {} is the plain model from here on."
    )
    guidance: LiveGuidance | None = None

    @property
    def options(self) -> Mapping[str, float | None]:
        """The fields of ``guidance`` that are given, null too; raises InvalidRequestError where nothing is given."""
        given: dict[str, float | None] = {} if self.guidance is None else self.guidance.model_dump(exclude_unset=True)
        if self.objective_weights is None and not given:
            raise InvalidRequestError(
                "nothing to change: give objective_weights, guidance.beta or guidance.max_kl_per_token"
            )
        return given


class SteeringInForce(Strict):
    id: str
    object: Literal["request.steering"]
    objective_weights: dict[str, float]
    guidance: LiveGuidance
    from_token: list[int | None] = Field(
        description="For each choice the number of its first token, from 0, that is drawn so; null: it had ended."
    )
