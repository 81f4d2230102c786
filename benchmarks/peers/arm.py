"""What every arm of the comparison is: something that answers prompts and says how long that took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class UnavailableError(Exception):
    """An arm cannot run here; the message is the reason, for the report."""


@dataclass(frozen=True, slots=True)
class Task:
    """The same for all arms: ``rows`` prompts of ``prompt`` tokens, ``tokens`` new ones for each, on ``threads``."""

    rows: int
    prompt: int
    tokens: int
    threads: int

    @property
    def length(self) -> int:
        """Of a row at its end."""
        return self.prompt + self.tokens


class Arm(Protocol):
    """One way to do it."""

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        """How long the whole call took, prefill included and loading not.

        Raises:
            UnavailableError: it does not work here.
        """
        ...

    def close(self) -> None:
        """Give back what it holds: memory, a process."""
        ...
