"""``/v1/preferences/{user}``: the weights of one user of the calling key. No key reaches what another one wrote."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest

from server.errors import NotFoundError
from server.http.auth import caller_of
from server.http.body import read_json
from server.openapi import body_of, errors
from server.protocol.preferences import PreferenceCard, PreferenceRequest
from server.protocol.presets import Deleted
from server.service import service_of
from server.stored.preferences import Preference
from server.validation import parse
from server.weights import check_weights

router = APIRouter()
PATH = "/v1/preferences/{user:path}"  # an app's user ids may have slashes


@router.get(PATH, summary="Stored weights of a user", responses=errors(404, 503))
async def retrieve_preference(http: HttpRequest, user: str) -> PreferenceCard:
    service = service_of(http)
    preference = await service.preferences.get(service.scope, caller_of(http), user)
    if preference is None:
        raise _not_found(user)
    return _card(user, preference)


@router.put(
    PATH,
    summary="Store a user's weights",
    responses=errors(400, 404, 413, 415, 503),
    openapi_extra=body_of(PreferenceRequest),
)
async def store_preference(http: HttpRequest, user: str) -> PreferenceCard:
    service = service_of(http)
    body = parse(PreferenceRequest, await read_json(http, service.settings.max_body_bytes))
    check_weights(body.objective_weights, service.known(service.ready_info()).infos)
    stored = await service.preferences.put(service.scope, caller_of(http), user, body.objective_weights)
    return _card(user, stored)


@router.delete(PATH, summary="Forget a user's weights", responses=errors(404, 503))
async def delete_preference(http: HttpRequest, user: str) -> Deleted:
    service = service_of(http)
    if not await service.preferences.delete(service.scope, caller_of(http), user):
        raise _not_found(user)
    return Deleted(id=user, object="preference.deleted", deleted=True)


def _card(user: str, preference: Preference) -> PreferenceCard:
    return PreferenceCard(
        user=user,
        object="preference",
        objective_weights=preference.objective_weights,
        updated_at=preference.updated_at,
    )


def _not_found(user: str) -> NotFoundError:
    return NotFoundError(f"this key has stored nothing for user {user[:80]!r}", "preference_not_found")
