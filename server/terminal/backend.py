"""The interface between the terminal chat and what answers it, a server's URL or a local engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from mavis_core.api.messages import ObjectiveInfo


class BackendError(Exception):
    """The turn failed; the message is shown to the user."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question as it will be asked; ``messages`` is the whole conversation so far."""

    messages: tuple[dict[str, str], ...]
    weights: dict[str, float]
    beta: float | None
    seed: int | None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more text; the last piece also says what steering did."""

    text: str
    kl_nats: float | None = None
    kl_per_token: float = 0.0
    values: dict[str, float] = field(default_factory=dict)


class Backend(Protocol):
    async def objectives(self) -> list[ObjectiveInfo]: ...

    def answer(self, turn: Turn) -> AsyncGenerator[Piece, None]:
        """Raises BackendError."""
        ...

    async def close(self) -> None: ...
