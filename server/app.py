"""The application: routes, errors, keys and metrics around an engine that somebody else built.

``create_app`` is the whole public surface. Nothing is global: two apps can live in one process. The engine may
still be loading; everything that needs it answers 503 until it is ready.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel

from mavis_core.api.engine_client import EngineClient
from mavis_core.api.tokenizer import Tokenizer
from server.errors import install_error_handlers
from server.http.auth import OPEN_PATHS, BearerAuth
from server.http.cors import allow_browsers
from server.http.foreign_pages import ForeignPages
from server.http.left_out import TellLeftOut
from server.http.measured import Measured
from server.http.plain_paths import PlainPaths
from server.http.request_id import RequestId
from server.http.shutdown_answers import ShutdownAnswers
from server.http.throttle import Throttle
from server.openapi import install_openapi
from server.protocol.chat import ChatCompletionRequest
from server.protocol.completions import CompletionRequest
from server.protocol.live_steering import SteeringPatch
from server.protocol.messages.request import CountTokensRequest, MessagesRequest
from server.protocol.objectives import Declaration
from server.protocol.preferences import PreferenceRequest
from server.protocol.presets import Preset
from server.protocol.responses import ResponsesRequest
from server.protocol.score import ScoreRequest
from server.protocol.tokens import DetokenizeRequest, TokenizeRequest
from server.protocol.values import LoadValueRequest
from server.reference import install_reference
from server.requests.live_answers import LiveAnswers
from server.routes import (
    chat,
    completions,
    invocations,
    listing,
    live_steering,
    messages,
    objectives,
    operations,
    preferences,
    presets,
    responses,
    score,
    tokens,
    values,
)
from server.routes.playground import install_playground
from server.service import Service
from server.settings import Settings
from server.version import package_version
from server.wire.header_limit import HeaderLimit

BODIES: list[type[BaseModel]] = [
    ChatCompletionRequest,
    CompletionRequest,
    ResponsesRequest,
    MessagesRequest,
    CountTokensRequest,
    ScoreRequest,
    TokenizeRequest,
    DetokenizeRequest,
    Preset,
    PreferenceRequest,
    SteeringPatch,
]


def create_app(settings: Settings, engine: EngineClient, tokenizer: Callable[[], Tokenizer]) -> FastAPI:
    """The app around ``engine``, which it closes at shutdown; ``tokenizer`` is called only once that is ready.

    Raises:
        ConfigError: a file that the settings name (keys, presets) cannot be used.
    """
    service = Service(settings, engine, tokenizer)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.on_step(service.metrics.on_step)
        yield
        await engine.close()
        service.close()

    app = FastAPI(
        title="MAVIS server",
        version=package_version(),
        description="OpenAI-compatible inference that its users steer",
        lifespan=lifespan,
        openapi_url=None,  # ``install_openapi`` serves it
        docs_url=None,  # ``install_reference`` serves ours
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.live_answers = LiveAnswers()
    generating = (chat, completions, responses, messages, score, invocations, live_steering)
    for group in (*generating, tokens, preferences, presets, listing, operations):
        app.include_router(group.router)
    if settings.playground:
        install_playground(app)
    install_error_handlers(app)
    bodies = BODIES
    if settings.admin_api_key is not None:
        app.include_router(values.router)
        app.include_router(objectives.router)
        bodies = [*BODIES, LoadValueRequest, Declaration]
    install_reference(app)
    install_openapi(app, bodies, service.keys.required, OPEN_PATHS, settings.unknown_fields == "refuse")
    _add_middleware(app, service)
    return app


def _add_middleware(app: FastAPI, service: Service) -> None:
    # The last is the outermost: refused requests carry an id and CORS headers too, preflights need no key.
    app.add_middleware(ShutdownAnswers)
    app.add_middleware(Throttle, limits=service.limits, metrics=service.metrics)
    app.add_middleware(BearerAuth, keys=service.keys)
    app.add_middleware(ForeignPages, settings=service.settings, keys=service.keys.required)
    if service.settings.allowed_origins:
        allow_browsers(app, service.settings)
    app.add_middleware(PlainPaths)
    app.add_middleware(HeaderLimit)
    app.add_middleware(TellLeftOut)
    app.add_middleware(Measured, metrics=service.metrics)
    app.add_middleware(RequestId)
