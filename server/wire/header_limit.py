"""At most 64 KiB and 128 lines of request head; more is 431.

llhttp, the parser, has no limit of its own and hands a header over only when it is whole, so a head that never ends
would be collected in memory, and so would the trailers of a chunked body: ``BoundedHeads`` counts the bytes of both and
hangs up. Trailers are read and forgotten: uvicorn would add them to the head that was checked before. ``HeaderLimit``
measures finished heads, and answers in the shape of every other error.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any, Literal

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server.errors import error_object
from server.http.error_response import ErrorResponse
from server.wire.http1_parser import Http1Parser

MAX_BYTES = 64 * 1024
MAX_LINES = 128
MAX_PIPELINED = 32


class HeaderLimit:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = scope["headers"]
            size = len(scope["raw_path"] or b"") + len(scope["query_string"])
            size += sum(len(name) + len(value) + 4 for name, value in headers)
            if size > MAX_BYTES or len(headers) > MAX_LINES:
                message = f"{size} bytes in {len(headers)} headers: at most {MAX_BYTES} in {MAX_LINES}"
                body = error_object(message, "invalid_request_error", None, "headers_too_large")
                await ErrorResponse(431, body, {"connection": "close"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol, with bounds on unfinished heads and trailers, and on pipelined requests.

    Reads count in which the parser finished nothing. A read that ends one head and begins the next does not count, so
    the real bound is ``MAX_BYTES`` and the size of one read.
    """

    reading: Literal["nothing", "head", "body"] = "nothing"  # a body's trailers belong to it
    active: RequestResponseCycle | None = None  # the request that is being answered, or the last that was
    _finished_something = False
    _unfinished_bytes = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = Http1Parser(self)

    @property
    def answering(self) -> bool:
        return self.active is not None and not self.active.response_complete

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._finished_something = False
        super().data_received(data)
        self._unfinished_bytes = 0 if self._finished_something else self._unfinished_bytes + len(data)
        if self._unfinished_bytes > MAX_BYTES:
            part = "the request's head" if self.reading == "head" else "what frames the request's body (trailers)"
            self.refuse(431, f"{part} has more than {MAX_BYTES} bytes: at most {MAX_BYTES}", "headers_too_large")

    def refuse(self, status: int, message: str, code: str) -> None:
        """Close the connection, after an error response unless that would come in the middle of an answer."""
        if self.transport.is_closing():
            return
        if self.reading == "body":
            unanswered = self.active is self.cycle and not self.cycle.response_started
        else:
            unanswered = not self.answering
        if unanswered:
            self.transport.write(refusal(status, message, code))
        self.transport.close()
        self._give_up()

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, msg, "invalid_http")

    def head_without_upgrade(self) -> bytes:
        version = self.scope["http_version"].encode()
        lines = [self.scope["method"].encode() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        self.reading, self._finished_something = "head", True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.reading == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._finished_something = True
        if self.parser.should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self.scope["http_version"] = self.parser.get_http_version()
            if self.scope["method"] == "CONNECT":
                raise ValueError("this server is no proxy")
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError(f"more than {MAX_PIPELINED} requests wait for the answer to another")
        super().on_headers_complete()
        self.reading = "body"
        if not self.pipeline:
            self.active = self.cycle

    def on_body(self, body: bytes) -> None:
        self._finished_something = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.reading, self._finished_something = "nothing", True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self.active = self.pipeline[-1][0]
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._give_up()

    def _give_up(self) -> None:
        """Tell the request being answered that its client is gone; uvicorn tells only the one that arrived last."""
        if self.active is not None and self.answering:
            self.active.disconnected = True
            self.active.message_event.set()


def refusal(status: int, message: str, code: str) -> bytes:
    """A whole answer in the shape of every other error, for where there is no request that the app could answer."""
    kind = {429: "rate_limit_error", 503: "server_error"}.get(status, "invalid_request_error")
    body = orjson.dumps(error_object(message, kind, None, code))
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {uuid.uuid4().hex}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
