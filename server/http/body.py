"""A request body as JSON, bounded in size before it is in memory.

Not FastAPI's own body parsing: that reads any size, takes NaN and Infinity, and answers in its own shape. orjson
refuses what JSON does not have (NaN, lone surrogates, invalid UTF-8, more than 1,024 levels) instead of passing it on.
It writes 254 levels only, so deeper bodies, which could not be written again for the engine or in an answer, are
refused here.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from mavis_core.api.errors import InvalidRequestError
from server.errors import BodyTooLargeError, ClientGoneError, ContentTypeError


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """The body's JSON object, or ``state.payload`` from whoever has read it before.

    Raises:
        ContentTypeError, BodyTooLargeError, InvalidRequestError, ClientGoneError.
    """
    known = request.scope.get("state", {}).pop("payload", None)
    if isinstance(known, dict):
        return known
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ContentTypeError(f"content-type {content_type[:80]!r}: must be application/json")
    body = await read_bounded(request, limit)
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(payload, dict):
        raise InvalidRequestError(f"the body is a {type(payload).__name__}: must be an object", code="invalid_json")
    try:
        orjson.dumps([[[[payload]]]])  # answers have it up to four levels deeper
    except orjson.JSONEncodeError:
        raise InvalidRequestError("the body is nested too deeply: at most 250 levels", code="invalid_json") from None
    return payload


async def read_bounded(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise BodyTooLargeError(f"the body has {declared[:20]} bytes: at most {limit}")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise BodyTooLargeError(f"the body has more than {limit} bytes: at most {limit}")
    except ClientDisconnect:
        raise ClientGoneError("the client left while sending its request") from None
    return bytes(body)
