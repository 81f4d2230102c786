"""Steers an answer otherwise while it is written: the same checks as for a request, and the engine told once."""

from __future__ import annotations

from collections.abc import Mapping

from mavis_core.api.errors import InvalidRequestError, UnknownRequestError
from mavis_core.api.prompted import PromptedObjective
from server.requests.live_answers import LiveAnswer
from server.service import Service
from server.steering import Steering, steered_otherwise


async def steer_live(
    service: Service, live: LiveAnswer, weights: Mapping[str, float] | None, options: Mapping[str, float | None]
) -> list[int | None]:
    """Steer ``live`` otherwise from its next token on; ``weights`` and ``options`` as ``steered_otherwise`` has them.

    Returns:
        For each choice the number of the first token that is drawn so, from 0; None where its prompt's have all ended.

    Raises:
        MavisError: nothing has changed.
    """
    async with live.changing:
        steering = steered_otherwise(live.steering, service.known(service.engine.info), weights, options)
        prompted = await _prompted(live, steering)
        numbers: list[int | None] = []
        for i, request in enumerate(live.requests):
            try:
                numbers += await service.engine.steer(request.id, steering.guidance, prompted)
            except UnknownRequestError:
                numbers += [None] * request.sampling.n
            else:
                live.requests[i] = request.steered(steering.guidance, prompted)
        live.steering = steering
        return numbers


async def _prompted(live: LiveAnswer, steering: Steering) -> tuple[PromptedObjective, ...] | None:
    """The objectives in words of ``steering``; None where they are those that the answer has."""
    before, now = live.steering.instructions, steering.instructions
    if before == now:
        return None
    fresh = {name: instruction for name, instruction in now.items() if before.get(name) != instruction}
    if fresh and live.tell is None:
        name = next(iter(fresh))
        raise InvalidRequestError(
            f"objective_weights.{name}: is an objective in words, which this request has no whole conversation for",
            f"objective_weights.{name}",
        )
    told = () if live.tell is None or not fresh else await live.tell(fresh)
    made = {objective.name: objective for objective in (*live.requests[0].prompted, *told)}
    return tuple(made[name] for name in now)
