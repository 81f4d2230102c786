"""Bearer keys, checked before anything of the request is read.

Only SHA-256 digests are held, and all of them are compared in constant time, so neither a prefix nor the number of
the matching key shows in the timing. ``/health``, ``/ready`` and ``/openapi.json`` stay open: load balancers carry
no keys. So do the page at ``/`` and its files: they hold nothing secret, and ask for the key. ``/metrics`` is open
only where no keys are set.

A plain ASGI middleware: Starlette's ``BaseHTTPMiddleware`` would put two tasks and a queue between every streamed
chunk and its socket.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import error_object, error_response

OPEN_PATHS = frozenset({"/health", "/ready", "/openapi.json", "/", "/mavis.js"})
OPEN_PREFIX = "/playground/"  # static files; a path under it can reach nothing else, whatever dots it has


class BearerAuth:
    def __init__(self, app: ASGIApp, keys: Iterable[SecretStr]) -> None:
        self._app = app
        self._digests = [hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]) or self._accepts(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        body = error_object(
            "missing or wrong API key: send 'Authorization: Bearer <key>'",
            "invalid_request_error",
            None,
            "invalid_api_key",
        )
        await error_response(401, body, {"www-authenticate": "Bearer"})(scope, receive, send)

    def _accepts(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(token.strip().encode("latin-1")).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return scheme.lower() == "bearer" and any(matches)


def is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIX)
