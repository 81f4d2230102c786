"""Every error as an HTTP answer: one table from exception to status, type and code, one JSON form for all.

The shape is OpenAI's, ``{"error": {message, type, param, code}}`` ("Error codes" page of its API reference): the
official clients build their typed exceptions from the status and read the rest from there. 404, 405 and internal
errors have the same shape, so that a client needs one parser. Where Anthropic's API was called ``ErrorResponse`` says
the same in its shape.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount

from mavis_core.api.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    LoadError,
    MavisError,
    QueueFullError,
    RequestFailedError,
    UnknownRequestError,
    UnknownValueError,
    ValueConflictError,
)
from server.http.error_response import ErrorResponse
from server.http.request_id import id_headers
from server.http.route_path import route_path
from server.not_offered import why_not_offered

log = logging.getLogger(__name__)


class BodyTooLargeError(MavisError):
    """The request body is larger than ``max_body_bytes``."""


class ContentTypeError(MavisError):
    """The body is not declared as JSON."""


class UnknownModelError(MavisError):
    """The request asks for a model that is not served."""


class NotFoundError(MavisError):
    """No such preset, preference or the like is stored; ``code`` says what was looked for."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class AdminOnlyError(MavisError):
    """The caller does not hold the admin key."""


class ReadOnlyPresetError(MavisError):
    """The preset comes from the file given at start."""


class DatabaseUnavailableError(MavisError):
    """The database of presets and preferences cannot be used now; the log, not the message, says why."""


class RateLimitError(MavisError):
    """The caller's limit for this minute is reached.

    Args:
        kind: what is limited, OpenAI's ``type`` of the error.
        retry_after: seconds until the window ends; None: a request of this size never fits.
    """

    def __init__(self, message: str, kind: Literal["requests", "tokens"], retry_after: int | None) -> None:
        super().__init__(message)
        self.type = kind
        self.retry_after = retry_after


class TextsWaitingError(MavisError):
    """Too many long texts wait to be rendered, encoded or decoded."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} long texts wait to be read already; try again shortly")


class ClientGoneError(MavisError):
    """The client left before the answer, which nobody will read."""


@dataclass(frozen=True, slots=True)
class HttpError:
    """The HTTP answer to a kind of error; attributes of the same names that an error itself has take precedence."""

    status: int
    type: str
    code: str | None = None
    param: str | None = None
    retry_after: int | None = None


TABLE: dict[type[MavisError], HttpError] = {
    InvalidRequestError: HttpError(400, "invalid_request_error"),
    UnknownModelError: HttpError(404, "invalid_request_error", "model_not_found", "model"),
    NotFoundError: HttpError(404, "invalid_request_error"),
    AdminOnlyError: HttpError(403, "invalid_request_error", "admin_only"),
    UnknownValueError: HttpError(404, "invalid_request_error", "value_not_found"),
    UnknownRequestError: HttpError(404, "invalid_request_error", "request_not_found"),
    ValueConflictError: HttpError(409, "invalid_request_error", "value_conflict"),
    ReadOnlyPresetError: HttpError(409, "invalid_request_error", "preset_read_only"),
    BodyTooLargeError: HttpError(413, "invalid_request_error", "body_too_large"),
    ContentTypeError: HttpError(415, "invalid_request_error", "unsupported_media_type"),
    RateLimitError: HttpError(429, "requests", "rate_limit_exceeded"),
    QueueFullError: HttpError(429, "rate_limit_error", "queue_full", retry_after=1),
    TextsWaitingError: HttpError(429, "rate_limit_error", "queue_full", retry_after=2),
    ClientGoneError: HttpError(499, "invalid_request_error", "client_closed_request"),
    RequestFailedError: HttpError(500, "server_error", "request_failed"),
    LoadError: HttpError(500, "server_error", "load_failed"),
    DatabaseUnavailableError: HttpError(503, "server_error", "database_unavailable", retry_after=5),
    EngineUnavailableError: HttpError(503, "server_error", "engine_unavailable", retry_after=2),
}
MAX_MESSAGE = 2000  # characters; some messages quote a request, or a library's message about it
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
INTERNAL = HttpError(500, "server_error", "internal_error")


def http_error_of(error: Exception) -> HttpError:
    """The row of the table for ``error``'s nearest listed class."""
    return next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE), INTERNAL)


def error_body(error: Exception) -> dict[str, Any]:
    row = http_error_of(error)
    known = isinstance(error, MavisError)
    return error_object(
        str(error) if known else "internal error; the server's log has it under this request's x-request-id",
        getattr(error, "type", None) or row.type,
        getattr(error, "param", None) or row.param,
        getattr(error, "code", None) or row.code,
    )


def error_object(message: str, type_: str, param: str | None, code: str | None) -> dict[str, Any]:
    if len(message) > MAX_MESSAGE:
        message = message[:MAX_MESSAGE] + "..."
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def respond(error: Exception) -> Response:
    row = http_error_of(error)
    retry_after = getattr(error, "retry_after", row.retry_after)
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    if isinstance(error, RateLimitError) and retry_after is None:
        headers["x-should-retry"] = "false"  # OpenAI's clients obey it; others would send the same again
    return ErrorResponse(row.status, error_body(error), headers)


async def on_mavis_error(request: Request, error: Exception) -> Response:
    body = error_body(error)
    request.app.state.service.metrics.request_rejections.labels(body["error"]["code"] or "invalid_request").inc()
    return respond(error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    method, path = request.method, request.url.path[:200]
    told = {
        404: (f"no such path: {method} {path}", "not_found"),
        405: (f"method {method} is not allowed on {path}", "method_not_allowed"),
    }
    message, code = told.get(error.status_code, (str(error.detail), None))
    why = why_not_offered(method, route_path(request.scope)) if error.status_code in told else None
    if why is not None:
        message, code = f"{method} {path} is not supported by this server: {why}", "unsupported_endpoint"
    type_ = "server_error" if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = ", ".join(allowed_methods(request)) or headers.get("allow", "GET, HEAD")
    return ErrorResponse(error.status_code, error_object(message, type_, None, code), headers)


def allowed_methods(request: Request) -> list[str]:
    """Of every route at this path: Starlette tells those of the first alone. None under a mount of static files."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def on_internal_error(request: Request, error: Exception) -> Response:
    request_id = getattr(request.state, "request_id", "")
    log.error("request %s failed: %r; the traceback follows from the HTTP server", request_id, error)
    response = respond(error)
    for name in id_headers(request.scope):  # this handler runs outside the request-id middleware
        response.headers[name] = request_id
    return response


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(MavisError, on_mavis_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_internal_error)
