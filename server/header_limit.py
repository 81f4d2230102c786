"""At most 64 KiB and 128 lines of request head; more is 431.

llhttp, the parser, has no limit of its own and hands a header over only when it is whole, so a head that never ends
would be collected in memory: ``BoundedHeads`` counts what arrives of an unfinished head and drops the connection.
``HeaderLimit`` measures finished heads, and answers in the shape of every other error.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.errors import error_object, error_response

MAX_BYTES = 64 * 1024
MAX_LINES = 128
REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


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
                await error_response(431, body, {"connection": "close"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol; a segment that ends one message and begins the next is not counted, so the real bound is
    ``MAX_BYTES`` and what one read brings."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        super().data_received(data)
        if not (was_in_head and self._in_head):
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_BYTES and not self.transport.is_closing():
            self.transport.write(REFUSAL)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
