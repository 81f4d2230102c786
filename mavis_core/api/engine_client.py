"""The seam between whoever serves requests and the engine that runs them.

A server holds an ``EngineClient`` and nothing else of the engine. ``engine_thread.py`` implements it with a
thread and two queues; tests implement it with a table.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Literal, Protocol

from mavis_core.api.messages import EngineInfo, Request, RequestOutput, StepStats

EngineState = Literal["loading", "ready", "draining", "dead"]


class EngineClient(Protocol):
    """Asynchronous access to one engine.

    ``generate`` runs searches too. It yields the request's outputs until the one with ``finished``; it raises
    ``QueueFullError`` or ``EngineUnavailableError`` before the first output, ``InvalidRequestError`` if the engine
    refuses the request (from the first ``__anext__``), and ``EngineUnavailableError`` if the engine dies under it.
    Closing the iterator early (``aclose`` or cancellation) aborts the request: no row, no KV and no message is left.
    """

    @property
    def state(self) -> EngineState: ...

    @property
    def info(self) -> EngineInfo:
        """Constants of the engine; raises EngineUnavailableError while loading."""
        ...

    @property
    def in_flight(self) -> int:
        """Choices submitted and not finished; a search counts as its rows."""
        ...

    def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]: ...

    def on_step(self, callback: Callable[[StepStats], None]) -> None:
        """Call ``callback`` on the event loop after every engine step (for metrics)."""
        ...

    async def load_value(self, source: str) -> EngineInfo:
        """Load the values at ``source`` that are not loaded yet while requests go on; ``info`` as it is then.

        Raises LoadError or ValueConflictError if they cannot be loaded, EngineUnavailableError; nothing has changed
        then.
        """
        ...

    async def unload_value(self, name: str) -> EngineInfo:
        """Unload a value; raises UnknownValueError, ValueConflictError while it is in use, EngineUnavailableError."""
        ...

    async def drain(self, seconds: float) -> bool:
        """Refuse new requests, wait for those in flight; True if all finished within ``seconds``."""
        ...

    async def close(self) -> None:
        """Stop the engine; requests still in flight fail with EngineUnavailableError."""
        ...
