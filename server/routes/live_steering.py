"""``PATCH /v1/requests/{id}/steering``: an answer is steered otherwise while it is written."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest

from mavis_core.api.errors import UnknownRequestError
from server.http.auth import caller_of
from server.http.body import read_json
from server.openapi import body_of, errors
from server.protocol.live_steering import LiveGuidance, SteeringInForce, SteeringPatch
from server.requests.live_answers import live_answers_of
from server.requests.live_steering import steer_live
from server.service import service_of
from server.validation import parse

router = APIRouter()


@router.patch(
    "/v1/requests/{id}/steering",
    summary="Steer an answer otherwise while it is written",
    responses=errors(400, 404, 413, 415, 429, 503),
    openapi_extra=body_of(SteeringPatch),
)
async def change_steering(http: HttpRequest, id: str) -> SteeringInForce:
    service = service_of(http)
    patch = parse(SteeringPatch, await read_json(http, service.settings.max_body_bytes))
    options = patch.options
    live = live_answers_of(http).find(id, caller_of(http))
    numbers = await steer_live(service, live, patch.objective_weights, options)
    if all(number is None for number in numbers):
        raise UnknownRequestError(id)
    guidance = live.steering.guidance
    return SteeringInForce(
        id=id,
        object="request.steering",
        objective_weights=live.steering.weights.values,
        guidance=LiveGuidance(beta=guidance.beta, max_kl_per_token=guidance.max_kl_per_token),
        from_token=numbers,
    )
