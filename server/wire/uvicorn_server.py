"""uvicorn, but SIGTERM starts a drain: new requests are refused, those in flight finish, and the exit code is 0.

uvicorn alone closes its port first, so that clients see refused connections, and ends by raising the signal again,
so that the process exits with 143. Here the port stays open while rows finish: ``/ready`` and new requests answer
503, which load balancers understand. A second signal stops at once: whatever is in flight is answered with an error,
and the process ends with 128 + the signal's number, whatever its threads are at (see ``leaving.py``).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from mavis_core.api.engine_client import EngineClient
from server.wire.leaving import leave

CUT_SECONDS = 0.5  # for errors to get out, after a second signal: first the engine's, then everybody else's
SIGNALLED = 128  # shells' exit code of a process that a signal ended, less the signal

log = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """
    Args:
        on_start: called on the event loop once the port is open (starts the engine's loading).

    Attributes:
        failure: why the server ended by itself, None if it was told to.
        exit_code: of the process.
    """

    def __init__(
        self, config: uvicorn.Config, engine: EngineClient, drain_timeout: float, on_start: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.failure: str | None = None
        self.exit_code = 0
        self._engine = engine
        self._drain_timeout = drain_timeout
        self._on_start = on_start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._cutting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # nobody reads there: closing would wait for ever
            connection.transport.abort()

    def give_up(self, why: str) -> None:
        """End without being told to, once what is in flight has been answered; from the event loop."""
        self.failure, self.exit_code = why, 1
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs in the signal handler: only hands over to the loop."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop, sig)

    def _stop(self, sig: int) -> None:
        if self._stopping is None and self.started and not self.should_exit:
            self._stopping = asyncio.ensure_future(self._drain())
        elif self._stopping is None and not self.should_exit:
            self.should_exit = True
        elif self._cutting is None:
            self.exit_code = SIGNALLED + sig
            self._cutting = asyncio.ensure_future(self._cut())

    async def _drain(self) -> None:
        log.info("draining: %d requests in flight, at most %g s", self._engine.in_flight, self._drain_timeout)
        if not await self._engine.drain(self._drain_timeout):
            log.warning("drain_timeout is over: %d requests are cut off", self._engine.in_flight)
            await self._engine.close()  # ends their answers with an error instead of a broken connection
        self.should_exit = True

    async def _cut(self) -> None:
        log.warning("a second signal: %d requests are cut off", self._engine.in_flight)
        closing = asyncio.ensure_future(self._engine.close())
        tasks = set(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.wait({closing, *tasks}, timeout=CUT_SECONDS)
        leave(self.exit_code)
