"""Conversations of at least three turns, with tools and parsing, through other projects' current clients.

    python -m scripts.compat.clients --out benchmarks/results/clients.json
    python -m scripts.compat.clients --only openai,langchain --model path/to/a/larger/model
    python -m scripts.compat.clients --before path/to/an/older/checkout     the same against that tree, too

Each client gets a throw-away environment from pip or npm, and its loop (``loops/``) runs against a server with the
model that ships, or with ``--model``. What a client sends back is what it has kept of our answers, so these loops find
what a test of single requests does not. A small model is made to call tools: ``tool_choice`` says so wherever a client
lets it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import describe
from scripts.compat.clients.catalogue import CLIENTS, Client
from scripts.compat.clients.environment import PASSED, NotInstalledError, install, run_loop, versions
from scripts.served import served
from value_models.loading import SHIPPED_POLICY

SERVED_AS = "m"
OUR_STDERR = 2


def main(
    only: Annotated[str, typer.Option(help="Names of clients, comma-separated; all where empty.")] = "",
    model: Annotated[
        Path | None, typer.Option(help="Folder of a model to serve instead of the one that ships.")
    ] = None,
    before: Annotated[Path | None, typer.Option(help="Another checkout, which is served and asked the same.")] = None,
    environments: Annotated[Path | None, typer.Option(help="Folder to keep the environments in.")] = None,
    install_seconds: Annotated[float, typer.Option(help="Limit for installing one client.")] = 600,
    seconds: Annotated[float, typer.Option(help="Limit for one client's loop.")] = 180,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the result; clients that it has and are not run stay.")
    ] = None,
) -> None:
    """Exit 0 where every client that could be installed passes every check."""
    names = _chosen(only)
    result = json.loads(out.read_text(encoding="utf-8")) if out is not None and out.exists() else {}
    found: dict[str, Any] = dict(result.get("clients", {}))
    with ExitStack() as stack:
        kept = environments or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {"now": stack.enter_context(_serve(model, None))}
        if before is not None:
            urls["before"] = stack.enter_context(_serve(model, before.absolute()))
        for name in names:
            tokenizer = (model or SHIPPED_POLICY).absolute()
            found[name] = _tried(CLIENTS[name], (kept / name).absolute(), urls, tokenizer, install_seconds, seconds)
            typer.echo(f"{name}: {json.dumps(found[name], indent=2)}")
            if out is not None:
                whole = {"machine": describe(), "clients": {key: found[key] for key in CLIENTS if key in found}}
                out.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    raise typer.Exit(0 if all(found[name].get("now", True) for name in names) else 1)


def _chosen(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()] or list(CLIENTS)
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of: {', '.join(CLIENTS)}", param_hint="--only")
    return names


@contextmanager
def _serve(model: Path | None, checkout: Path | None) -> Iterator[str]:
    options = ["--served-model-name", SERVED_AS] + ([] if model is None else ["--model", str(model.absolute())])
    with served(*options, log=OUR_STDERR, checkout=checkout) as server:
        yield server.url


def _tried(
    client: Client, folder: Path, urls: Mapping[str, str], tokenizer: Path, install_seconds: float, seconds: float
) -> dict[str, Any]:
    """Versions and, for each tree, whether all passed; of what failed in one of them, how each ended."""
    if client.larger and tokenizer == SHIPPED_POLICY.absolute():
        return {"not run": "its prompts do not fit the model that ships; give --model"}
    try:
        install(client, folder, install_seconds)
    except NotInstalledError as error:
        return {"not installed": str(error)}
    ended = {tree: run_loop(client, folder, url, tokenizer, seconds) for tree, url in urls.items()}
    checks = {name: None for checks in ended.values() for name in checks}
    return {
        "versions": versions(client, folder),
        "model": tokenizer.name,
        **{tree: all(said == PASSED for said in told.values()) for tree, told in ended.items()},
        "checks": {name: {tree: told[name] for tree, told in ended.items() if name in told} for name in checks},
    }


if __name__ == "__main__":
    typer.run(main)
