"""``/v1/values``: values loaded and unloaded while the server runs. These routes exist only with an admin key."""

from __future__ import annotations

from itertools import groupby

from fastapi import APIRouter, Depends
from starlette.requests import Request as HttpRequest

from mavis_core.api.errors import InvalidRequestError, LoadError
from mavis_core.api.messages import EngineInfo
from server.admin import require_admin
from server.http.body import read_json
from server.openapi import body_of, errors
from server.protocol.values import DeletedValue, LoadValueRequest, ValueCard, ValueList
from server.routes.objectives import refuse_named
from server.service import service_of
from server.validation import parse
from server.value_sources import value_source

router = APIRouter(dependencies=[Depends(require_admin)])


@router.get("/v1/values", summary="List the loaded values (admin)", responses=errors(403, 503))
async def list_values(http: HttpRequest) -> ValueList:
    return _listed(service_of(http).ready_info())


@router.post(
    "/v1/values",
    summary="Load a value (admin)",
    responses=errors(400, 403, 409, 413, 415, 503),
    openapi_extra=body_of(LoadValueRequest),
)
async def load_value(http: HttpRequest) -> ValueList:
    service = service_of(http)
    body = parse(LoadValueRequest, await read_json(http, service.settings.max_body_bytes))
    source = value_source(body.source, service.settings.values_dir, service.settings.values)
    try:
        return _listed(await service.engine.load_value(source))
    except LoadError as error:  # what was asked for cannot be had; at start it would be our failure
        raise InvalidRequestError(str(error), "source", "value_refused") from None


@router.delete("/v1/values/{name}", summary="Unload a value (admin)", responses=errors(403, 404, 409, 503))
async def unload_value(http: HttpRequest, name: str) -> DeletedValue:
    service = service_of(http)
    scored = {objective.name for objective in service.ready_info().objectives if objective.value == name}
    await refuse_named(service, scored, f"value {name!r}")
    await service.engine.unload_value(name)
    return DeletedValue(id=name, object="value.deleted", deleted=True)


def _listed(info: EngineInfo) -> ValueList:
    by_value = groupby(sorted(info.objectives, key=lambda o: o.value), lambda o: o.value)
    grouped = [(name, list(objectives)) for name, objectives in by_value]
    cards = [ValueCard(name=n, object="value", kind=o[0].kind, objectives=[i.name for i in o]) for n, o in grouped]
    return ValueList(object="list", data=cards)
