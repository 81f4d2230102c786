"""From a request to the model that answers it and how it is steered: one call for every generating endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from starlette.requests import Request

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import EngineInfo, ObjectiveInfo
from server.bounds.bounds import Bounds
from server.errors import UnknownModelError
from server.http.auth import caller_of
from server.objectives.known import Known
from server.protocol.objectives import in_words
from server.protocol.presets import Preset
from server.protocol.steered_request import GuidanceOptions
from server.service import Service
from server.weights import HEADER, Sources, Weights, check_named, check_weights, refuse_taken, resolve_weights

MAX_ANY_NAME = 256  # characters; every chunk of an answer repeats the name


class SteeredBody(Protocol):
    """The fields of a request body that steering depends on."""

    @property
    def model(self) -> str | None: ...
    @property
    def objective_weights(self) -> dict[str, float] | None: ...
    @property
    def objectives(self) -> dict[str, str] | None: ...
    @property
    def guidance(self) -> GuidanceOptions | None: ...
    @property
    def whose(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Steering:
    """
    Attributes:
        model: the name to answer with, a preset's included.
        instructions: of the objectives in words that steer, by name.
        brought: those that the request made up, whether they steer or not.
        bounds: of the key that asks.
        bounded: fields that are not what was asked for, and what they are instead.
    """

    model: str
    weights: Weights
    guidance: Guidance
    instructions: Mapping[str, str]
    brought: Mapping[str, str]
    bounds: Bounds
    bounded: Mapping[str, Any]


async def resolve_steering(http: Request, service: Service, body: SteeredBody, info: EngineInfo) -> Steering:
    """The model that answers a request, and how it is steered.

    Raises:
        UnknownModelError, InvalidRequestError, UnknownObjectiveError; DatabaseUnavailableError where the answer
        depends on something stored: a preset that the file does not have, or preferences that nothing overrides.
    """
    model, preset = await find_model(service, body.model, info)
    known = service.known(info)
    bounds = service.bounds.of(caller_of(http))
    if body.objectives and not bounds.own_objectives:
        raise InvalidRequestError("objectives: this key may not bring objectives of its own", "objectives")
    brought = _brought(service, body, preset, known)

    async def preference() -> Mapping[str, float] | None:
        if body.whose is None:
            return None
        stored = await service.preferences.get(service.scope, caller_of(http), body.whose)
        return None if stored is None else stored.objective_weights

    sources = Sources(
        body=body.objective_weights,
        header=_header(http),
        preset=None if preset is None else preset.objective_weights,
        preference=preference,
        default=service.settings.objective_weights,
    )
    weights = await resolve_weights(sources, _known(known, brought))
    defaults = {} if preset is None else preset.guidance.model_dump(exclude_none=True)
    guidance = (body.guidance or GuidanceOptions()).with_weights(weights.values, defaults)
    return _steering(model, weights, guidance, known, brought, bounds)


def steered_otherwise(
    before: Steering, known: Known, weights: Mapping[str, float] | None, options: Mapping[str, float | None]
) -> Steering:
    """How a request is steered from now on.

    Args:
        weights: in place of the whole map; None: as before.
        options: fields of ``Guidance`` that change; None is what a request that says nothing gets.

    Raises:
        InvalidRequestError, UnknownObjectiveError: as for a request of its own.
    """
    now = before.weights
    if weights is not None:
        check_weights(weights, _known(known, before.brought))
        now = Weights(dict(weights), "patch")
    guidance = replace(before.guidance, weights=now.values, **options)  # type: ignore[arg-type]  # checked there
    return _steering(before.model, now, guidance, known, before.brought, before.bounds)


def _known(known: Known, brought: Mapping[str, str]) -> list[ObjectiveInfo]:
    return [*known.infos, *(in_words(name, instruction) for name, instruction in brought.items())]


def _steering(
    model: str, asked: Weights, guidance: Guidance, known: Known, brought: Mapping[str, str], bounds: Bounds
) -> Steering:
    """``guidance`` has the weights that are ``asked`` for; both are brought within the bounds."""
    infos = _known(known, brought)
    weights, bounded = bounds.bound_weights(asked)
    _check_held(bounds, infos)
    guidance = replace(guidance, weights=weights.values)
    check_named(guidance, [objective.name for objective in infos])
    guidance, further = bounds.bound_guidance(guidance, {objective.name: objective for objective in infos})
    told = {**{name: declared.instruction for name, declared in known.declared.items()}, **brought}
    instructions = {name: instruction for name, instruction in told.items() if guidance.steers(name)}
    idle = told.keys() - instructions.keys()  # the engine is not told of them, so it would not know their names
    named = {name: weight for name, weight in guidance.weights.items() if name not in idle}
    return Steering(model, weights, replace(guidance, weights=named), instructions, brought, bounds, bounded | further)


def _check_held(bounds: Bounds, infos: Iterable[ObjectiveInfo]) -> None:
    """Raises InvalidRequestError where an objective that is held at a weight has been unloaded."""
    try:
        check_weights(bounds.held, infos)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"the operator's bounds: {error}", None, error.code) from None


def _brought(service: Service, body: SteeredBody, preset: Preset | None, known: Known) -> dict[str, str]:
    """Objectives in words that come with the request, or with its preset; raises InvalidRequestError."""
    own, most = body.objectives or {}, service.settings.max_request_objectives
    if len(own) > most:
        allowed = f"at most {most}" if most else "this server takes none"
        raise InvalidRequestError(f"objectives: has {len(own)} entries: {allowed}", "objectives")
    refuse_taken(own, known.infos)
    presets = {} if preset is None else preset.objectives
    try:
        refuse_taken(presets, known.infos)  # what was declared or loaded after it
    except InvalidRequestError as error:
        raise InvalidRequestError(f"the preset: {error}", "model") from None
    brought = {**presets, **own}
    if brought and service.place is None:
        raise InvalidRequestError("objectives: this model's chat template takes no instruction", "objectives")
    return brought


async def find_model(service: Service, name: str | None, info: EngineInfo) -> tuple[str, Preset | None]:
    """The name to answer with, and the preset that it ends in; a served name that itself has a colon comes first.

    Raises:
        UnknownModelError, DatabaseUnavailableError.
    """
    names = service.model_names(info)
    if name is None or name in names:
        return name or names[0], None
    takes_any = service.settings.takes_any_model and len(name) <= MAX_ANY_NAME
    base, _, ending = name.rpartition(":")
    preset = await service.presets.get(service.scope, ending) if base and (takes_any or base in names) else None
    if preset is None and not takes_any:
        raise UnknownModelError(
            f"the model {name[:200]!r} does not exist; served: {', '.join(names)}, by default the first; a server that "
            "is started with --served-model-name '*' takes any name"
        )
    return name, preset


def _header(http: Request) -> str | None:
    given = http.headers.getlist(HEADER)
    if len(given) > 1:  # the first of them would silently win
        raise InvalidRequestError(f"{HEADER} is given {len(given)} times: give it once", HEADER)
    return given[0] if given else None
