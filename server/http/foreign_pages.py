"""Defends against other people's web pages in a browser that can reach this server.

Where no keys are asked for, being able to reach the server is the only credential, and every page in a user's browser
has that. Two ways in are closed. A page may send requests to any address, though not read the answers: what changes or
generates something is refused when it comes from a page of another origin that ``allowed_origins`` does not name. And
the owner of a page may point its name at 127.0.0.1 (DNS rebinding): for the browser we are then the page's own server.
So a server on loopback that asks for no keys answers only to names that nobody else can own.

Whether a page is our own, newer browsers say themselves in ``Sec-Fetch-Site``, which no page can set, and which is
right behind proxies too. Older ones, and pages without TLS, send ``Origin``, which has to name our ``Host``.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import error_object
from server.http.error_response import ErrorResponse
from server.settings import Settings
from server.settings.texts import is_loopback

HARMLESS_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+?))\.?(?::[0-9]*)?")


class ForeignPages:
    """``keys`` says whether the server requires API keys."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: bool) -> None:
        self._app = app
        self._origins = frozenset(settings.allowed_origins)
        self._hosts = tuple(name.lower() for name in settings.allowed_hosts)
        guarded = self._hosts or (not keys and is_loopback(settings.host))
        self._any_host = "*" in self._hosts or not guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refused = self._wrong_host(headers) or self._wrong_origin(scope["method"], headers)
            if refused is not None:
                message, code = refused
                body = error_object(message, "invalid_request_error", None, code)
                await ErrorResponse(403, body)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _wrong_host(self, headers: Headers) -> tuple[str, str] | None:
        if self._any_host:
            return None
        for host in headers.getlist("host"):  # every browser sends it
            found = HOST.fullmatch(host.lower())
            name = (found["ipv6"] or found["name"]) if found else ""
            if not is_own_name(name, self._hosts):
                allowed = "localhost, loopback addresses and what --allowed-hosts names"
                return f"host {host[:80]!r}: must be one of {allowed}", "host_not_allowed"
        return None

    def _wrong_origin(self, method: str, headers: Headers) -> tuple[str, str] | None:
        if method in HARMLESS_METHODS or "*" in self._origins:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if site is None:
            own = origin is None or origin.partition("://")[2] == headers.get("host", "no host")
        else:
            own = site in ("same-origin", "none")
        if own or origin in self._origins:
            return None
        told = f"origin {origin[:80]!r}" if origin else f"sec-fetch-site {site!r}"
        message = f"{told}: pages of other origins may send {method} only where --allowed-origins names theirs"
        return message, "origin_not_allowed"


def is_own_name(name: str, allowed: tuple[str, ...]) -> bool:
    """Whether ``name`` can only be ours: this machine's, or one of ``allowed``, where ``*.x`` is every name below x."""
    if is_loopback(name) or name.endswith(".localhost"):
        return True
    return any(name == own or (own.startswith("*.") and name.endswith(own[1:])) for own in allowed)
