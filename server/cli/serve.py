"""``mavis serve``."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import typer


def serve(flags: dict[str, Any]) -> None:
    """Serve a model on an OpenAI-compatible port.

    Every option can also be set by a variable of the environment: MAVIS_PORT for --port, MAVIS_MAX_MODEL_LEN for
    --max-model-len. The option wins, and a variable that is empty counts as not set.
    """
    from rich.console import Console

    from server.cli.banner import banner
    from server.cli.engine import engine_client
    from server.cli.loading_bar import LoadingBar
    from server.engine_watch import watch
    from server.serving import dialect_of, objectives_of, server_for, takes_words
    from server.settings import load_settings
    from server.wire.leaving import leave
    from server.wire.listening import listening

    settings = load_settings(**flags)
    console = Console(stderr=True)
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    tasks: list[asyncio.Task[None]] = []
    bar = LoadingBar(console)

    def announce() -> None:
        bar.__exit__()
        gc.freeze()  # what is loaded stays: to go through it again stalls the event loop for half a second
        told = banner(settings, client.info, objectives_of(server, client), takes_words(server), dialect_of(server))
        console.print(told, soft_wrap=True)

    def start() -> None:
        client.start()
        tasks.append(asyncio.create_task(watch(client, settings.on_engine_death, announce, server.give_up)))

    client = engine_client(settings, bar)
    server = server_for(settings, client, lambda: client.tokenizer, start)
    sockets = listening(settings.host, settings.port)  # or an error, while there is no bar and no model yet
    with bar:
        server.run(sockets)
    if server.failure is not None:
        typer.secho(server.failure, fg="red", err=True)
    if not client.stopped:
        leave(server.exit_code)
    raise typer.Exit(server.exit_code)
