"""The application behind uvicorn: the port opens at once, and the model loads behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import uvicorn

from mavis_core.api.engine_client import EngineClient
from mavis_core.api.tokenizer import Tokenizer
from server.app import create_app
from server.service import Service
from server.settings import Settings
from server.wire.connection_limits import ConnectionGates, ConnectionLimits
from server.wire.deadlines import TimedRequests
from server.wire.descriptors import default_connections
from server.wire.tls import tls_context
from server.wire.uvicorn_server import DrainingServer
from server.wire.write_limit import TimedWrites


class TimedProtocol(TimedWrites, TimedRequests):
    """uvicorn's protocol with time limits for reading and writing."""


def server_for(
    settings: Settings, engine: EngineClient, tokenizer: Callable[[], Tokenizer], on_start: Callable[[], None]
) -> DrainingServer:
    """A server whose ``run()`` returns after the drain that a signal starts."""
    config = uvicorn.Config(
        create_app(settings, engine, tokenizer),
        host=settings.host,
        port=settings.port,
        log_level="warning" if settings.log_level == "info" else settings.log_level,
        access_log=settings.log_level == "debug",
        timeout_graceful_shutdown=5,
        server_header=False,
        http=connection_gates(settings),  # type: ignore[arg-type]  # any callable that makes a protocol
        ws="none",
        timeout_keep_alive=settings.keep_alive_timeout,
        root_path=settings.root_path,
    )
    logging.getLogger("server").setLevel(settings.log_level.upper())
    return DrainingServer(config, engine, settings.drain_timeout, on_start)


def connection_gates(settings: Settings) -> ConnectionGates:
    """Gates for new connections; they do TLS instead of uvicorn, so that a connection counts before its handshake."""
    total = default_connections() if settings.max_connections is None else settings.max_connections
    tls = None
    if settings.ssl_certfile is not None:
        tls = tls_context(settings.ssl_certfile, settings.ssl_keyfile, settings.ssl_ca_certs)
    http = partial(
        TimedProtocol,
        head_timeout=settings.head_timeout,
        body_timeout=settings.body_timeout,
        write_timeout=settings.write_timeout,
    )
    return ConnectionGates(
        ConnectionLimits(total, settings.max_connections_per_address), http, tls, settings.head_timeout
    )


def objectives_of(server: DrainingServer, engine: EngineClient) -> list[str]:
    """Names of all objectives that answers can be steered towards, those in words too."""
    return [objective.name for objective in _service(server).known(engine.info).infos]


def dialect_of(server: DrainingServer) -> str:
    """How the model writes calls and reasoning, and why that is thought."""
    return _service(server).prompts.dialect.told


def takes_words(server: DrainingServer) -> bool:
    """Whether requests may bring objectives of their own."""
    service = _service(server)
    return service.place is not None and service.settings.max_request_objectives > 0


def _service(server: DrainingServer) -> Service:
    found: Service = server.config.app.state.service  # type: ignore[union-attr]  # it is the app of ``server_for``
    return found
