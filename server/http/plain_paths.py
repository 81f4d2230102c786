"""Refuses paths with control characters before routing.

Routes are regular expressions that end with ``$``, which also matches before a newline at the end: without this,
``/v1/completions%0a`` would be served as ``/v1/completions`` and escape whatever compares paths, such as rate limits.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import error_object
from server.http.error_response import ErrorResponse

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class PlainPaths:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and CONTROL.search(scope["path"]):
            message = f"no such path: {scope['method']} {scope['path'][:200]!r} has a control character"
            await ErrorResponse(404, error_object(message, "invalid_request_error", None, "not_found"))(
                scope, receive, send
            )
            return
        await self._app(scope, receive, send)
