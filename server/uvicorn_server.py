"""uvicorn, with SIGTERM as a drain: refuse new requests, let those in flight finish, exit 0.

uvicorn alone closes its port first, so that clients see refused connections, and ends by raising the signal again,
so that the process exits with 143. Here the port stays open while rows finish: ``/ready`` and new requests answer
503, which load balancers understand. A second signal stops at once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from mavis_core.client import EngineClient

log = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """
    Args:
        on_start: called on the event loop before the port opens (starts the engine's loading).
    """

    def __init__(
        self, config: uvicorn.Config, engine: EngineClient, drain_timeout: float, on_start: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._engine = engine
        self._drain_timeout = drain_timeout
        self._on_start = on_start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_start()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs in the signal handler: only hands over to the loop."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._draining is not None:
            self.force_exit = self.should_exit = True
        elif not self.started:
            self.should_exit = True
        else:
            self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        log.info("draining: %d requests in flight, at most %g s", self._engine.in_flight, self._drain_timeout)
        if not await self._engine.drain(self._drain_timeout):
            log.warning("drain_timeout is over: %d requests are cut off", self._engine.in_flight)
            await self._engine.close()  # ends their answers with an error instead of a broken connection
        self.should_exit = True
