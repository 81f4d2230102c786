"""Bearer keys, checked before anything of the request is read.

Only SHA-256 digests are held, and all of them are compared in constant time, so neither a prefix nor the number of
the matching key shows in the timing. ``/health``, ``/ready`` and ``/openapi.json`` stay open: load balancers carry
no keys. ``/metrics`` is open only where no keys are set.

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

OPEN_PATHS = frozenset({"/health", "/ready", "/openapi.json"})


class BearerAuth:
    def __init__(self, app: ASGIApp, keys: Iterable[SecretStr]) -> None:
        self._app = app
        self._digests = [digest_of(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["path"] in OPEN_PATHS
            or bearer_matches(Headers(scope=scope), self._digests)
        ):
            await self._app(scope, receive, send)
            return
        body = error_object(
            "missing or wrong API key: send 'Authorization: Bearer <key>'",
            "invalid_request_error",
            None,
            "invalid_api_key",
        )
        await error_response(401, body, {"www-authenticate": "Bearer"})(scope, receive, send)


def digest_of(key: SecretStr) -> bytes:
    return hashlib.sha256(key.get_secret_value().encode()).digest()


def bearer_matches(headers: Headers, digests: Iterable[bytes]) -> bool:
    """Whether the bearer token is one of those behind ``digests``, all of which are compared."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    digest = hashlib.sha256(token.strip().encode("latin-1")).digest()
    matches = [hmac.compare_digest(digest, known) for known in digests]
    return scheme.lower() == "bearer" and any(matches)
