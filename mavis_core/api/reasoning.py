"""How an answer's reasoning is told apart from what it says: between two markers, which are text.

The reasoning stands at the beginning of the answer and once. A marker counts as text even where the vocabulary has it
as one special token that the text leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass

from mavis_core.api.errors import InvalidRequestError

MAX_MARKER = 128


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Attributes:
    begin: what an answer begins with, spaces aside, where it reasons.
    end: what ends the reasoning; without it all of the answer is reasoning.
    opened: the reasoning has begun before the answer's first token.

    Raises:
        InvalidRequestError: with param "reasoning".
    """

    begin: str
    end: str
    opened: bool = False

    def __post_init__(self) -> None:
        for name in ("begin", "end"):
            marker = getattr(self, name)
            if not isinstance(marker, str) or not 1 <= len(marker) <= MAX_MARKER or marker != marker.strip():
                raise InvalidRequestError(
                    f"reasoning: {name}={marker!r}: must be 1 to {MAX_MARKER} characters without spaces around them",
                    "reasoning",
                )
