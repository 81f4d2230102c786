"""``mavis serve``: the port opens at once, the model loads behind it, and the terminal says what to type next."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import uvicorn
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mavis_core.api.engine_client import EngineClient
from mavis_core.api.messages import EngineInfo
from mavis_core.api.tokenizer import Tokenizer
from server.app import create_app
from server.settings import Settings
from server.wire.connection_limits import ConnectionGates, ConnectionLimits
from server.wire.deadlines import TimedRequests
from server.wire.descriptors import default_connections
from server.wire.tls import tls_context
from server.wire.uvicorn_server import DrainingServer
from server.wire.write_limit import TimedWrites


class TimedProtocol(TimedWrites, TimedRequests):
    """HTTP in which nobody waits for a client for ever."""


@dataclass(slots=True)
class LoadingBar:
    """A progress bar that loading moves."""

    console: Console
    _bar: Progress = field(init=False)

    def __post_init__(self) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self.console, transient=True)
        self._bar.add_task("loading", total=1.0)

    def __enter__(self) -> LoadingBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, stage: str, fraction: float) -> None:
        self._bar.update(self._bar.task_ids[0], description=escape(stage), completed=fraction)


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
        http=connection_gates(settings),  # type: ignore[arg-type]  # whatever makes a protocol
        ws="none",
        timeout_keep_alive=settings.keep_alive_timeout,
        root_path=settings.root_path,
    )
    logging.getLogger("server").setLevel(settings.log_level.upper())
    return DrainingServer(config, engine, settings.drain_timeout, on_start)


def connection_gates(settings: Settings) -> ConnectionGates:
    """TLS is theirs and not uvicorn's, so that a connection counts before its handshake."""
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


def base_url(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    scheme = "https" if settings.ssl_certfile else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.port}"


def banner(settings: Settings, info: EngineInfo) -> str:
    """What is served, where, and a command that can be pasted."""
    url = base_url(settings)
    names = [objective.name for objective in info.objectives]
    key = '-H "Authorization: Bearer $MAVIS_API_KEY" ' if settings.api_key or settings.api_key_file else ""
    weights = f', "objective_weights": {{"{names[0]}": 1}}' if names else ""
    model = settings.served_model_name[0] if settings.served_model_name else info.model
    lines = [
        f"[bold]{escape(model)}[/] on {escape(info.device)} at [bold]{url}/v1[/]",
        f"steer towards: {escape(', '.join(names)) or 'nothing, no values are loaded'}",
        f"[dim]KV cache: {info.kv_cache_tokens:,} tokens, {info.kv_cache_bytes / 2**20:,.0f} MiB once all are used[/]",
        "",
        *([f"[dim]Open in a browser:[/] [bold]{url}/[/]", ""] if settings.playground else []),
        "[dim]Type next, in another terminal:[/]",
        escape(
            f"curl {url}/v1/chat/completions {key}-H 'Content-Type: application/json' \\\n"
            f'  -d \'{{"messages": [{{"role": "user", "content": "How was your day?"}}]{weights}}}\''
        ),
        "[dim]or:[/] " + f"mavis chat --url {url}",
    ]
    return "\n".join(lines)
