"""What is found for a row at each step: one multiplier of one objective. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Aim:
    """A floor, or an objective of the worst case (``Guidance.floors``, ``Guidance.worst_case``).

    Attributes:
        name: of the objective.
        column: among the loaded objectives, or, ``in_words``, among those that the row brings.
        floor: least expected value; None for the worst case.
        most: that beta * lambda may grow by to keep the floor, nats per unit; 0 for the worst case.
    """

    name: str
    column: int
    in_words: bool
    floor: float | None
    most: float
