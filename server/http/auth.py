"""Who is calling: a request's key, checked before anything else of the request is read.

It comes as the bearer token, or in ``x-api-key``, as Anthropic's clients send it; of two that are known the bearer's
counts.

``/health``, ``/ready``, ``/ping``, ``/openapi.json`` and ``/docs`` stay open: load balancers carry no keys. So do the
page at ``/`` and its files: they hold nothing secret, and ask for the key. ``/metrics`` is open only where no keys are
set. If none are set, every caller without the admin key is the anonymous one, whatever key it sends: OpenAI's clients
always send one.

A plain ASGI middleware: Starlette's ``BaseHTTPMiddleware`` would put two tasks and a queue between every streamed
chunk and its socket.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import error_object
from server.http.error_response import ErrorResponse
from server.http.keys import ANONYMOUS, ApiKey, KeyRing
from server.http.route_path import route_path

OPEN_PATHS = frozenset({"/health", "/ready", "/ping", "/openapi.json", "/docs", "/", "/mavis.js"})
OPEN_PREFIX = "/playground/"  # static files; a path under it can reach nothing else, whatever dots it has


class BearerAuth:
    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = self._caller(Headers(scope=scope))
        if caller is None and (not self._keys.required or is_open(route_path(scope))):
            caller = ANONYMOUS
        if caller is None:
            await unauthorized()(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _caller(self, headers: Headers) -> ApiKey | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        bearer, own = self._keys.find(token.strip()), self._keys.find(headers.get("x-api-key", ""))
        return (bearer if scheme.lower() == "bearer" else None) or own


def caller_of(request: HTTPConnection) -> ApiKey:
    caller = request.state.caller
    assert isinstance(caller, ApiKey)
    return caller


def is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIX)


def unauthorized() -> ASGIApp:
    body = error_object(
        "missing or wrong API key: send 'Authorization: Bearer <key>' or 'x-api-key: <key>'",
        "invalid_request_error",
        None,
        "invalid_api_key",
    )
    return ErrorResponse(401, body, {"www-authenticate": "Bearer"})
