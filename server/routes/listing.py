"""What is served: ``/v1/models`` (OpenAI's "List models", "Retrieve model") and ``/v1/objectives``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest

from mavis_core.api.messages import EngineInfo
from server.errors import DatabaseUnavailableError
from server.http.auth import caller_of
from server.openapi import errors
from server.protocol.listing import CallersBounds, ModelCard, ModelList, ObjectiveCard, ObjectiveList
from server.service import Service, service_of
from server.steering import find_model

router = APIRouter()


@router.get("/v1/models", summary="List the served models", responses=errors(503))
async def list_models(http: HttpRequest) -> ModelList:
    service = service_of(http)
    info = service.ready_info()
    names = service.model_names(info)
    presets = [*service.presets.file, *await _stored_presets(service)]
    cards = [_card(service, name, info) for name in names]
    cards += [_card(service, f"{name}:{preset}", info, preset) for name in names for preset in presets]
    return ModelList(object="list", data=cards)


@router.get("/v1/models/{model:path}", summary="Describe one model", responses=errors(404, 503))
async def retrieve_model(http: HttpRequest, model: str) -> ModelCard:
    service = service_of(http)
    info = service.ready_info()
    name, preset = await find_model(service, model, info)
    return _card(service, name, info, name.rpartition(":")[2] if preset else None)


@router.get("/v1/objectives", summary="List what answers can be steered towards", responses=errors(503))
async def list_objectives(http: HttpRequest) -> ObjectiveList:
    service = service_of(http)
    known = service.known(service.ready_info())
    bounds = service.bounds.of(caller_of(http))
    cards = [
        ObjectiveCard(
            object="objective",
            instruction=known.instruction(info.name),
            **dataclasses.asdict(info) | {"weight_range": bounds.of(info.name).within(*info.weight_range)},
        )
        for info in known.infos
    ]
    own = CallersBounds(
        beta=bounds.beta, max_kl_per_token=bounds.max_kl_per_token, own_objectives=bounds.own_objectives
    )
    return ObjectiveList(object="list", bounds=own, data=cards)


async def _stored_presets(service: Service) -> Iterable[str]:
    """Names of stored presets that can be served; none while the database is down, so that models are still listed."""
    scope = service.scope
    try:
        stored = await service.presets.stored(scope)
    except DatabaseUnavailableError:  # logged where it happened
        return ()
    return [name for name, preset in stored.items() if scope.fits(preset.servers_weights)]


def _card(service: Service, name: str, info: EngineInfo, preset: str | None = None) -> ModelCard:
    return ModelCard(
        id=name,
        object="model",
        created=service.started,
        owned_by="mavis",
        root=info.model,
        max_model_len=info.max_model_len,
        preset=preset,
    )
