"""Cells: one objective at one weight, or told in the system message; each is one file of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WEIGHTS = (1.0, 2.0, 3.0, -1.0)  # in the order of how much is missed without them
TOLD = "told"


@dataclass(frozen=True, slots=True)
class Cell:
    """Attributes:
    objective: its name; "" where the model is left alone.
    weight: of the objective in words; None where the model is told instead, or left alone.
    """

    objective: str = ""
    weight: float | None = None

    @property
    def name(self) -> str:
        """Of its file."""
        if not self.objective:
            return "base"
        return f"{self.objective}-{TOLD if self.weight is None else f'{self.weight:g}'}"


BASE = Cell()


def cells(objectives: Sequence[str]) -> list[Cell]:
    """All there are: the base, everything told, then weight after weight, so that an early end leaves whole columns."""
    columns = (None, *WEIGHTS)
    return [BASE, *(Cell(objective, weight) for weight in columns for objective in objectives)]
