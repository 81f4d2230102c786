"""Objectives in words: as a request brings them, and as the operator declares them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import MAX_WEIGHT
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.prompted import KIND, RECOMMENDED_BETA, WEIGHT_RANGE
from server.protocol.fields import Strict, entries

MAX_INSTRUCTION = 500  # characters of one that a request brings
MAX_DECLARED_INSTRUCTION = 4000
MAX_BROUGHT = 64  # of the schema; ``--max-request-objectives`` says how many a server takes
# Readable in the header too, where "=" and "," have a meaning.
NAME_RULE = "1 to 64 characters without '=', ',' and braces, and without a space at its ends"
NAME_PATTERN = r"^[^\s=,{}\x00-\x1f\x7f]([^=,{}\x00-\x1f\x7f]{0,62}[^\s=,{}\x00-\x1f\x7f])?$"
WHERE = "in words"


def _name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise PydanticCustomError("objective_name", NAME_RULE)
    return name


ObjectiveName = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})]
Instruction = Annotated[str, Field(max_length=MAX_INSTRUCTION)]
Instructions = Annotated[dict[ObjectiveName, Instruction], Field(max_length=MAX_BROUGHT), entries(MAX_BROUGHT)]


class Declaration(Strict):
    """One objective of the operator's."""

    instruction: Annotated[str, Field(min_length=1, max_length=MAX_DECLARED_INSTRUCTION)] = Field(
        description="What the model is told, as one would in a system prompt."
    )
    description: str = Field(default="", max_length=500)
    weight_range: list[float] = Field(
        default=list(WEIGHT_RANGE), min_length=2, max_length=2, description="Weights to accept: from, to."
    )

    def check_ranges(self) -> None:
        """Raises InvalidRequestError, naming the field."""
        if not self.instruction.strip():
            raise InvalidRequestError("instruction: must say something", "instruction")
        low, high = self.weight_range
        if not -MAX_WEIGHT <= low <= 0 <= high <= MAX_WEIGHT or low == high:
            raise InvalidRequestError(
                f"weight_range=[{low:g}, {high:g}]: must go from {-MAX_WEIGHT:g} or more to {MAX_WEIGHT:g} or less, "
                "with 0 in it",
                "weight_range",
            )

    def info(self, name: str) -> ObjectiveInfo:
        low, high = self.weight_range
        return in_words(name, self.description or self.instruction, (low, high))


class DeclaredObjective(Declaration):
    """The answer where one is stored."""

    name: str
    object: Literal["objective"]


class DeletedObjective(Strict):
    id: str
    object: Literal["objective.deleted"]
    deleted: Literal[True]


def in_words(
    name: str, description: str, weight_range: tuple[float, float] = (-MAX_WEIGHT, MAX_WEIGHT)
) -> ObjectiveInfo:
    """As the other objectives are described; its value is a log-ratio in nats, which adds up along a text."""
    return ObjectiveInfo(name, description, KIND, WHERE, 0.0, 1.0, RECOMMENDED_BETA, weight_range, additive=True)
