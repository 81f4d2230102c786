"""What the terminal chat asks of whoever answers: two methods, so that a URL and a local engine look the same."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from mavis_core.api.messages import ObjectiveInfo


class BackendError(Exception):
    """The turn failed; the message is for the person at the keyboard."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question as it will be asked; ``messages`` is the whole conversation so far."""

    messages: tuple[dict[str, str], ...]
    weights: dict[str, float]
    beta: float | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more text, and with the last piece what steering did."""

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
