"""httptools' parser, but ignoring the ``Upgrade`` that a request may ask for.

A server may ignore the wish for another protocol, and this one knows no other (no WebSocket, no HTTP/2). httptools
takes every such request for the last words of HTTP: it skips the body and stops, so that what curl sends with
``--http2`` came without its body. Here the same head is read again without its ``Upgrade`` line.
"""

from __future__ import annotations

from typing import Protocol

import httptools


class UpgradeReader(Protocol):
    """The receiver of the parser's callbacks, with one further method."""

    def head_without_upgrade(self) -> bytes:
        """The head that was just read, as bytes to parse."""


class Http1Parser(httptools.HttpRequestParser):
    """Callbacks of a head that wishes for an upgrade come twice, the first time with ``should_upgrade()`` true and
    without a body."""

    def __init__(self, reader: UpgradeReader) -> None:
        self._reader = reader
        self._begin()

    def _begin(self) -> None:
        super().__init__(self._reader)
        # As uvicorn has it: what follows a message that says "connection: close" is not an error.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: bytes | bytearray | memoryview) -> None:  # type: ignore[override]
        rest = memoryview(data)
        while rest:
            try:
                super().feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            self._begin()  # after an upgrade the old state reads nothing more
            super().feed_data(self._reader.head_without_upgrade())
