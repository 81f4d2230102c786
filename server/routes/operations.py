"""For the operator of the server: ``/health``, ``/ping``, ``/ready``, ``/load``, ``/metrics``, ``/version``.

``/health`` is the liveness probe: it fails only when the engine is dead, where a restart helps. ``/ready`` is the
readiness probe: it succeeds only while new requests are accepted.
"""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from server.openapi import errors
from server.protocol.listing import Load, State, Version
from server.service import service_of
from server.version import package_version

router = APIRouter()


@router.get("/health", summary="Liveness", responses=errors(503))
async def health(http: HttpRequest) -> State:
    service = service_of(http)
    service.refuse_unless("loading", "ready", "draining")
    return State(status=service.engine.state)


@router.get("/ping", summary="Liveness, as SageMaker asks", responses=errors(503))
async def ping(http: HttpRequest) -> State:
    return await health(http)


@router.post("/ping", summary="Liveness, as SageMaker asks too", responses=errors(503))
async def ping_by_post(http: HttpRequest) -> State:
    return await health(http)


@router.get("/load", summary="Choices in flight", responses=errors())
async def load(http: HttpRequest) -> Load:
    return Load(server_load=service_of(http).engine.in_flight)


@router.get("/ready", summary="Readiness", responses=errors(503))
async def ready(http: HttpRequest) -> State:
    service = service_of(http)
    service.refuse_unless("ready")
    return State(status=service.engine.state)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses=errors() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(http: HttpRequest) -> Response:
    return Response(service_of(http).exposition(), headers={"content-type": CONTENT_TYPE_LATEST})


@router.get("/version", summary="Version of this server", responses=errors())
async def server_version() -> Version:
    return Version(version=package_version())
