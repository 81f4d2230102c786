"""What ``mavis serve`` prints once the model is loaded: what is served, where, and a command that can be pasted."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from rich.markup import escape

from mavis_core.api.messages import EngineInfo
from server.cli.own_address import own_address
from server.settings import Settings

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""Hosts that are all addresses of a machine, and the one of them by which it reaches itself."""


def base_url(settings: Settings) -> str:
    host = EVERYWHERE.get(settings.host, settings.host)
    scheme = "https" if settings.ssl_certfile else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.port}"


def opened_at(settings: Settings) -> str:
    """Where a browser opens the page, one on another device too; with markup."""
    here = f"[bold]{base_url(settings)}/[/]"
    if settings.host not in EVERYWHERE:
        return here
    address = own_address(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    if address is None:
        return here
    there = base_url(settings).replace(EVERYWHERE[settings.host].strip("[]"), address)
    return f"{here} [dim]and from other devices:[/] [bold]{there}/[/]"


def numbers(settings: Settings, info: EngineInfo) -> str:
    """The number type that the model computes in, and who chose it."""
    weights = f", weights of {settings.engine.quantization}" if settings.engine.quantization else ""
    return f"{info.dtype}{weights}" + (" (dtype=auto)" if settings.engine.dtype == "auto" else "")


def towards(names: Sequence[str], words: bool) -> str:
    """What answers can be steered towards, for people."""
    own = "what a request says in words"
    if not names:
        return own if words else "nothing: no values, and no chat template that takes an instruction"
    return ", ".join(names) + (f"; or {own}" if words else "")


def banner(settings: Settings, info: EngineInfo, names: Sequence[str], words: bool, dialect: str = "") -> str:
    """
    Args:
        names: of the objectives.
        words: whether requests may bring their own.
        dialect: how the model writes calls and reasoning.
    """
    url = base_url(settings)
    key = '-H "Authorization: Bearer $MAVIS_API_KEY" ' if settings.api_key or settings.api_key_file else ""
    weights = f', "objective_weights": {{"{names[0]}": 1}}' if names else ""
    model = settings.model_names(info.model)[0]
    lines = [
        f"[bold]{escape(model)}[/] on {escape(info.device)} at [bold]{url}/v1[/]",
        f"steer towards: {escape(towards(names, words))}",
        f"[dim]{numbers(settings, info)}[/]",
        f"[dim]KV cache: {info.kv_cache_tokens:,} tokens, {info.kv_cache_bytes / 2**20:,.0f} MiB once all are used[/]",
        *([f"[dim]{escape(dialect)}[/]"] if dialect else []),
        "",
        *([f"[dim]Open in a browser:[/] {opened_at(settings)}", ""] if settings.playground else []),
        "[dim]Type next, in another terminal:[/]",
        escape(
            f"curl {url}/v1/chat/completions {key}-H 'Content-Type: application/json' \\\n"
            f'  -d \'{{"messages": [{{"role": "user", "content": "How was your day?"}}]{weights}}}\''
        ),
        "[dim]or:[/] " + f"mavis chat --url {url}",
    ]
    return "\n".join(lines)
