"""``/v1/objectives/{name}``: objectives in words declared and removed while the server runs, by the admin.

They live as long as the process, as values that are loaded at run time do. Requests in flight have their instruction
with them and do not notice.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Depends
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request as HttpRequest

from mavis_core.api.errors import InvalidRequestError, ValueConflictError
from server.admin import require_admin
from server.errors import NotFoundError
from server.http.body import read_json
from server.openapi import body_of, errors
from server.protocol.objectives import NAME_RULE, Declaration, DeclaredObjective, DeletedObjective, ObjectiveName
from server.service import Service, service_of
from server.validation import parse

router = APIRouter(dependencies=[Depends(require_admin)])
NAME = TypeAdapter(ObjectiveName)


@router.put(
    "/v1/objectives/{name}",
    summary="Declare an objective in words (admin)",
    responses=errors(400, 403, 404, 409, 413, 415, 503),
    openapi_extra=body_of(Declaration),
)
async def declare_objective(http: HttpRequest, name: str) -> DeclaredObjective:
    service = service_of(http)
    body = parse(Declaration, await read_json(http, service.settings.max_body_bytes))
    body.check_ranges()
    info = service.ready_info()
    try:
        NAME.validate_python(name)
    except ValidationError:
        raise InvalidRequestError(f"name={name[:80]!r}: must be {NAME_RULE}", "name") from None
    if service.place is None:
        raise InvalidRequestError("instruction: this model's chat template takes no instruction", "instruction")
    if owner := next((objective.value for objective in info.objectives if objective.name == name), None):
        raise ValueConflictError(f"objective {name!r} is scored by the value {owner!r} already")
    if service.objectives.full(name):
        raise InvalidRequestError("there are as many objectives in words as fit: remove one")
    service.objectives.put(name, body)
    return DeclaredObjective(name=name, object="objective", **dict(body))


@router.delete(
    "/v1/objectives/{name}", summary="Remove an objective in words (admin)", responses=errors(403, 404, 409, 503)
)
async def remove_objective(http: HttpRequest, name: str) -> DeletedObjective:
    service = service_of(http)
    if name not in service.known(service.ready_info()).declared:
        raise NotFoundError(f"there is no objective in words {name[:80]!r}", "objective_not_found")
    await refuse_named(service, {name}, f"objective {name!r}")
    service.objectives.remove(name)
    return DeletedObjective(id=name, object="objective.deleted", deleted=True)


async def refuse_named(service: Service, names: set[str], what: str) -> None:
    """Raises ValueConflictError where default weights, a preset or the operator's bounds name one of ``names``.

    Users' stored preferences do not hold anything: there may be a million, and a request that needs one is told.
    """
    presets = {**service.presets.file, **await service.presets.stored(service.scope)}
    named: list[tuple[str, Mapping[str, object]]] = [
        ("the server's default weights name", dict(service.settings.objective_weights))
    ]
    named += [(f"preset {preset!r} names", content.servers_weights) for preset, content in presets.items()]
    named += [(f"{place} of the bounds names", bounds.weights) for place, bounds in service.bounds.places]
    for who_names, weights in named:
        if used := sorted(names & weights.keys()):
            raise ValueConflictError(f"{what} is in use: {who_names} {', '.join(map(repr, used))}")
