"""The application: routes, errors, keys and metrics around an engine that somebody else built.

``create_app`` is the whole public surface. Nothing is global: two apps can live in one process. The engine may
still be loading; everything that needs it answers 503 until it is ready.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from mavis_core.client import EngineClient
from mavis_core.tokenizer import Tokenizer
from server.auth import OPEN_PATHS, BearerAuth
from server.errors import install_error_handlers
from server.openapi import install_openapi
from server.protocol.chat import ChatCompletionRequest
from server.protocol.completions import CompletionRequest
from server.request_id import RequestId
from server.routes import chat, completions, listing, operations
from server.routes.playground import install_playground
from server.service import Service, package_version
from server.settings import Settings


def create_app(settings: Settings, engine: EngineClient, tokenizer: Callable[[], Tokenizer]) -> FastAPI:
    """The app around ``engine``, which it closes at shutdown; ``tokenizer`` is called only once that is ready."""
    service = Service(settings, engine, tokenizer)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.on_step(service.metrics.on_step)
        yield
        await engine.close()
        service.prompts.close()

    # The bundled documentation pages load scripts from another host; the document itself is at /openapi.json.
    app = FastAPI(
        title="MAVIS server",
        version=package_version(),
        description="OpenAI-compatible inference that its users steer",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    for group in (chat, completions, listing, operations):
        app.include_router(group.router)
    if settings.playground:
        install_playground(app)
    install_error_handlers(app)
    install_openapi(app, [ChatCompletionRequest, CompletionRequest], bool(settings.api_key), OPEN_PATHS)
    if settings.api_key:
        app.add_middleware(BearerAuth, keys=settings.api_key)
    app.add_middleware(RequestId)  # outermost: refused requests carry an id too
    return app
