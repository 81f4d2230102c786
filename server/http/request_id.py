"""``x-request-id`` on every answer, and ``request-id``, Anthropic's name for it, on those of its API.

It is the client's own if that is harmless, else a fresh one.

The same id is in the log line of an internal error, which is how a user's report finds its traceback.
"""

from __future__ import annotations

import re
import uuid

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.error_response import is_anthropic

HARMLESS = re.compile(r"[A-Za-z0-9._-]{1,128}")


def id_headers(scope: Scope) -> tuple[str, ...]:
    """The headers that tell an answer's id."""
    return ("x-request-id", "request-id") if is_anthropic(scope) else ("x-request-id",)


class RequestId:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if HARMLESS.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = [(name.encode(), request_id.encode()) for name in id_headers(scope)]
                message["headers"] = [*message["headers"], *named]
            await send(message)

        await self._app(scope, receive, send_with_id)
