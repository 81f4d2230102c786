"""An answer that nobody reads is cut: its connection is dropped once the client has taken nothing for a while.

Measured where the answer waits, in the transport's buffer: while that is over its limit its size must fall from one
look to the next, however slowly. (What the kernel holds of it, some hundred kilobytes to a few megabytes, counts as
taken.) Dropping the connection ends the stream, and with it the request. It is also what bounds how long the unread
rest of an answer stays in memory: of an open response at most its own answer, see
``mavis_core/process/queue_client.py``.

In the protocol and not around the app: a whole answer is in the transport's buffer when the app has long returned.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

RESET = struct.pack("ii", 1, 0)  # on, and no time
log = logging.getLogger(__name__)


class TimedWrites(HttpToolsProtocol):
    """Args:
    write_timeout: seconds.
    """

    def __init__(self, *args: Any, write_timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._write_timeout = write_timeout
        self._unread_look: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_looking()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_looking()
        super().connection_lost(exc)

    def _look_again(self) -> None:
        self._stop_looking()
        unread = self.transport.get_write_buffer_size()
        self._unread_look = self.loop.call_later(self._write_timeout, self._look, unread)

    def _stop_looking(self) -> None:
        if self._unread_look is not None:
            self._unread_look.cancel()
            self._unread_look = None

    def _look(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._look_again()
            return
        log.info("a connection is dropped: its client has read nothing for %g s", self._write_timeout)
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)  # else the kernel would keep its share
        self.transport.abort()
