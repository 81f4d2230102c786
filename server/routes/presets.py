"""``/v1/presets``: anybody reads them, the admin writes those of the database."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends
from starlette.requests import Request as HttpRequest

from server.admin import require_admin
from server.errors import NotFoundError
from server.http.body import read_json
from server.openapi import body_of, errors
from server.protocol.presets import Deleted, Preset, PresetCard, PresetList
from server.service import Service, service_of
from server.validation import parse
from server.weights import check_weights, refuse_taken

router = APIRouter()
ADMIN = [Depends(require_admin)]


@router.get("/v1/presets", summary="List the presets", responses=errors(503))
async def list_presets(http: HttpRequest) -> PresetList:
    service = service_of(http)
    presets = {**service.presets.file, **await service.presets.stored(service.scope)}
    return PresetList(object="list", data=[_card(service, name, preset) for name, preset in presets.items()])


@router.get("/v1/presets/{name}", summary="Describe a preset", responses=errors(404, 503))
async def retrieve_preset(http: HttpRequest, name: str) -> PresetCard:
    service = service_of(http)
    preset = await service.presets.get(service.scope, name)
    if preset is None:
        raise _not_found(name)
    return _card(service, name, preset)


@router.put(
    "/v1/presets/{name}",
    summary="Store a preset (admin)",
    dependencies=ADMIN,
    responses=errors(400, 403, 404, 409, 413, 415, 503),
    openapi_extra=body_of(Preset),
)
async def store_preset(http: HttpRequest, name: str) -> PresetCard:
    service = service_of(http)
    preset = parse(Preset, await read_json(http, service.settings.max_body_bytes))
    preset.check_ranges()
    objectives = service.known(service.ready_info()).infos
    check_weights(preset.servers_weights, objectives)
    refuse_taken(preset.objectives, objectives)
    await service.presets.put(service.scope, name, preset)
    return _card(service, name, preset)


@router.delete(
    "/v1/presets/{name}", summary="Delete a preset (admin)", dependencies=ADMIN, responses=errors(403, 404, 409, 503)
)
async def delete_preset(http: HttpRequest, name: str) -> Deleted:
    service = service_of(http)
    if not await service.presets.delete(service.scope, name):
        raise _not_found(name)
    return Deleted(id=name, object="preset.deleted", deleted=True)


def _card(service: Service, name: str, preset: Preset) -> PresetCard:
    source: Literal["file", "database"] = "file" if name in service.presets.file else "database"
    return PresetCard(name=name, object="preset", source=source, **dict(preset))


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(f"there is no preset {name[:80]!r}", "preset_not_found")
