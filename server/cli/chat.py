"""``mavis chat``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mavis_core.api.errors import LoadError

if TYPE_CHECKING:
    from rich.console import Console

    from server.terminal.backend import Backend


def chat(
    flags: dict[str, Any],
    url: Annotated[
        str | None,
        typer.Option(help="Address of a running server. Default: none, the model is loaded in this terminal."),
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="MAVIS_API_KEY", help="Key that the server at --url asks for.")
    ] = None,
) -> None:
    """Chat in the terminal; weights change between turns and the KL is shown."""
    from rich.console import Console

    from server.terminal.remote import HttpBackend
    from server.terminal.repl import Repl

    console = Console()

    async def talk() -> None:
        backend = await local_backend(flags, console) if url is None else HttpBackend(url, api_key)
        await Repl(backend, console).run()

    asyncio.run(talk())


async def local_backend(flags: dict[str, Any], console: Console) -> Backend:
    """An engine right here; raises ConfigError or LoadError."""
    from server.cli.engine import engine_client
    from server.cli.loading_bar import LoadingBar
    from server.objectives.declared import Declared
    from server.settings import load_settings
    from server.terminal.local import LocalBackend

    bar = LoadingBar(console)
    settings = load_settings(**flags)
    client = engine_client(settings, bar)
    declared = Declared.read(settings.objectives, settings.model is None)
    with bar:
        client.start()
        await client.wait_ready()
    if client.state != "ready":
        raise LoadError(client.reason)
    return LocalBackend(client, lambda: client.tokenizer, declared)
