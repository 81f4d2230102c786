"""The interface between a server and the engine that runs its requests.

A server holds an ``EngineClient`` and nothing else of the engine. ``process/queue_client.py`` implements it over an
engine on a thread or in a process; tests implement it with a table.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal, Protocol

from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import EngineInfo, Request, RequestOutput, StepStats
from mavis_core.api.prompted import PromptedObjective

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

    async def steer(
        self, request_id: str, guidance: Guidance, prompted: tuple[PromptedObjective, ...] | None = None
    ) -> tuple[int, ...]:
        """Steer a request that ``generate`` runs otherwise from its next token on; ``prompted`` as ``Request.steered``.

        Returns for each choice how many tokens it has, which is the number of the first one that is drawn so. Raises
        UnknownRequestError, also where the request has ended; InvalidRequestError, of searches too; QueueFullError
        where there are no places for further companions; EngineUnavailableError. Nothing has changed then.
        """
        ...

    def on_step(self, callback: Callable[[StepStats], None]) -> None:
        """Call ``callback`` on the event loop after every engine step (for metrics)."""
        ...

    async def rewards(self, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> list[dict[str, float]] | None:
        """The raw rewards of each answer to a prompt, by objective, as searches by rewards use them; None without any.

        Raises EngineUnavailableError while loading, and RewardError where a reward fails.
        """
        ...

    async def load_value(self, source: str) -> EngineInfo:
        """Load the values at ``source`` that are not loaded yet while requests go on; returns the new ``info``.

        Raises LoadError or ValueConflictError if they cannot be loaded, and EngineUnavailableError; then nothing has
        changed.
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
