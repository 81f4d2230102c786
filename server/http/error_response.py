"""An error's answer in the words of the API that was called: OpenAI's, or Anthropic's under ``/v1/messages``.

Which of them is known only where the answer is sent, for many errors come from layers around all routes. Anthropic's
shape is ``{"type": "error", "error": {type, message}, "request_id"}`` ("Errors" page of its API reference), with types
by status. Claude Code shortens a conversation when it reads that the prompt is too long, in these words and no others.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.http.route_path import route_path

ANTHROPIC = "/v1/messages"
TYPES = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 503: "overloaded_error",
}  # fmt: skip


class ErrorResponse(Response):
    """``body`` is OpenAI's shape."""

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(orjson.dumps(body), status, headers, "application/json")
        error = body["error"]
        too_long = (error["code"], error["param"]) == ("context_length_exceeded", "messages")
        self._message = ("prompt is too long: " if too_long else "") + error["message"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_anthropic(scope):
            request_id = scope.get("state", {}).get("request_id", "")
            self.body = orjson.dumps(anthropic_error(self.status_code, self._message, request_id))
            self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def is_anthropic(scope: Scope) -> bool:
    """Whether the path is one of Anthropic's API, also one that is not here."""
    path = route_path(scope)
    return path == ANTHROPIC or path.startswith(ANTHROPIC + "/")


def anthropic_error(status: int, message: str, request_id: str) -> dict[str, Any]:
    other = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    error = {"type": TYPES.get(status, other), "message": message}
    return {"type": "error", "error": error, "request_id": request_id}
