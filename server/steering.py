"""From a request to the model that answers it and how it is steered: one call for every generating endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import EngineInfo
from server.errors import UnknownModelError
from server.http.auth import caller_of
from server.protocol.presets import Preset
from server.protocol.steered_request import GuidanceOptions
from server.service import Service
from server.weights import HEADER, Sources, Weights, resolve_weights


class SteeredBody(Protocol):
    """What a request body must have to be steered."""

    @property
    def model(self) -> str | None: ...
    @property
    def objective_weights(self) -> dict[str, float] | None: ...
    @property
    def guidance(self) -> GuidanceOptions | None: ...
    @property
    def user(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Steering:
    """``model`` is the name to answer with, a preset's included."""

    model: str
    weights: Weights
    guidance: Guidance


async def resolve_steering(http: Request, service: Service, body: SteeredBody, info: EngineInfo) -> Steering:
    """
    Raises:
        UnknownModelError, InvalidRequestError, UnknownObjectiveError; DatabaseUnavailableError where the answer
        depends on something stored: a preset that the file does not have, or preferences that nothing overrides.
    """
    model, preset = await find_model(service, body.model, info)

    async def preference() -> Mapping[str, float] | None:
        if body.user is None:
            return None
        stored = await service.preferences.get(service.scope, caller_of(http), body.user)
        return None if stored is None else stored.objective_weights

    sources = Sources(
        body=body.objective_weights,
        header=_header(http),
        preset=None if preset is None else preset.objective_weights,
        preference=preference,
        default=service.settings.objective_weights,
    )
    weights = await resolve_weights(sources, info.objectives)
    defaults = {} if preset is None else preset.guidance.model_dump(exclude_none=True)
    return Steering(model, weights, (body.guidance or GuidanceOptions()).with_weights(weights.values, defaults))


async def find_model(service: Service, name: str | None, info: EngineInfo) -> tuple[str, Preset | None]:
    """The name to answer with, and the preset that it ends in; a served name that has a colon itself comes first.

    Raises:
        UnknownModelError, DatabaseUnavailableError.
    """
    try:
        return service.check_model(name, info), None
    except UnknownModelError:
        base, _, ending = (name or "").rpartition(":")
        preset = await service.presets.get(service.scope, ending) if base in service.model_names(info) else None
        if preset is None:
            raise
        return f"{base}:{ending}", preset


def _header(http: Request) -> str | None:
    given = http.headers.getlist(HEADER)
    if len(given) > 1:  # the first of them would win over the others without a word
        raise InvalidRequestError(f"{HEADER} is given {len(given)} times: give it once", HEADER)
    return given[0] if given else None
