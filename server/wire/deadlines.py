"""Deadlines for what a client sends: its request's head, the body, the next request.

uvicorn has only the last of these, and drops it at the next byte. Here each wait has one deadline that further bytes do
not move, so a client that sends a byte a minute is as slow as one that sends none. While a request is being answered
there is no deadline; requests that were sent behind it wait for their turn.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from server.wire.header_limit import BoundedHeads

Wait = Literal["head", "body", "next"]


class TimedRequests(BoundedHeads):
    """
    Args:
        head_timeout, body_timeout: seconds; the next request of a connection may be waited for as long as uvicorn's
            ``timeout_keep_alive`` says.
    """

    def __init__(self, *args: Any, head_timeout: float, body_timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seconds: dict[Wait, float] = {
            "head": head_timeout,
            "body": body_timeout,
            "next": self.timeout_keep_alive,
        }
        self._waiting: tuple[Wait, object] | None = None  # what is awaited, and the request it belongs to or follows
        self._timer: asyncio.TimerHandle | None = None

    def waiting_for(self) -> Wait | None:
        """What the client has to send next; None if we have to answer."""
        if self.reading == "body" and self.active is self.cycle:
            return "body"
        if self.answering:
            return None
        return "head" if self.reading == "head" or self.cycle is None else "next"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        wait = self.waiting_for()
        waiting = None if wait is None or self.transport.is_closing() else (wait, self.cycle)
        if waiting == self._waiting:
            return
        self._stop()
        self._waiting = waiting
        if waiting is not None:
            self._timer = self.loop.call_later(self._seconds[waiting[0]], self._too_late, waiting[0])

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self, wait: Wait) -> None:
        if self.reading == "nothing":  # no byte of a request has come, so nobody waits for an answer
            self.transport.close()
        else:
            limit = f"{wait}_timeout={self._seconds[wait]:g}"
            self.refuse(408, f"the request's {wait} took longer than {limit} seconds", "request_timeout")
