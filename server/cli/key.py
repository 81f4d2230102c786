"""``mavis key``: makes API keys."""

from __future__ import annotations

from typing import Annotated

import typer


def key(
    name: Annotated[
        str | None,
        typer.Option(help="Who gets the key: the server's messages and log show this name, never the key."),
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most requests in a minute with this key. Default: the server's --requests-per-minute."
        ),
    ] = None,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(min=1, help="Most tokens in a minute with this key. Default: the server's --tokens-per-minute."),
    ] = None,
) -> None:
    """Make a random API key: the key on the error stream, its line for --api-key-file on the output."""
    from server.http.key_file import new_entry

    made, line = new_entry(name, requests_per_minute, tokens_per_minute)
    typer.secho(f"the key, shown only here: {made}", err=True)
    typer.echo(line)
