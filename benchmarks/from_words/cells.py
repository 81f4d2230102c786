"""Cells: one objective at one weight, by a value or by its words; each is one file of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WORDS, TOLD = "words", "told"
WEIGHTS = (1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """Attributes:
    by: what steers: ``WORDS``, the name of a value, or ``TOLD``; "" where nothing does.
    objective: its name; "" where nothing steers.
    weight: of it; 1 of what is told.
    """

    by: str = ""
    objective: str = ""
    weight: float = 0.0

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.objective}-{self.by}-{self.weight:g}" if self.by else "base"


BASE = Cell()


def cells(
    objectives: Sequence[str], values: Sequence[str], weights: Sequence[float] = WEIGHTS, words: bool = True
) -> list[Cell]:
    """All there are, in the order of how much is missed without them: an early end leaves what can be compared.

    Args:
        words: whether the sentences themselves are asked, too.
    """
    by = [*([WORDS] if words else []), *values]
    steered = [Cell(each, name, weight) for weight in weights for each in by for name in objectives]
    return [BASE, *steered, *(Cell(TOLD, name, 1.0) for name in objectives if words)]
