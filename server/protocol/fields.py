"""Building blocks of the request models.

Three kinds of field: implemented; ``Refused``, which the schema shows as null-only so that a client's generator and
our documentation agree that it is not there; and ``NoEffect``, bookkeeping that OpenAI stores and we do not.
Nothing is accepted and dropped that would change an answer.

Ranges stand in the schema only: they are enforced once, by the constructors in ``mavis_core``, whose messages name
field, value and range.

A mapping's entries are counted before any of them is checked: pydantic would first report each of the 200,000 wrong
entries that a body has room for.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

MAX_FIELDS = 256


def _counted(value: object, most: int) -> object:
    if isinstance(value, dict) and len(value) > most:
        raise PydanticKnownError(
            "too_long", {"field_type": "Dictionary", "max_length": most, "actual_length": len(value)}
        )
    return value


class Strict(BaseModel):
    """No coercion ("1" is not 1, true is not 1), no unknown field."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _count_fields(cls, value: object) -> object:
        return _counted(value, MAX_FIELDS)


def entries(most: int) -> BeforeValidator:
    """A validator of a mapping's size, beside ``Field(max_length=most)``, which only the schema shows."""
    return BeforeValidator(lambda value: _counted(value, most))


Refused: TypeAlias = Annotated[None, Field(description="Not supported; only null is accepted.")]
EmptyList: TypeAlias = Annotated[list[Any], Field(max_length=0)]


def _exactly(value: object, allowed: object) -> object:
    if value is not None and type(value) is not type(allowed):
        raise PydanticKnownError("literal_error", {"expected": repr(allowed)})
    return value


# A Literal alone compares, and 0 equals False.
OnlyFalse: TypeAlias = Annotated[Literal[False], BeforeValidator(lambda value: _exactly(value, False))]
OnlyTrue: TypeAlias = Annotated[Literal[True], BeforeValidator(lambda value: _exactly(value, True))]
OnlyZero: TypeAlias = Annotated[Literal[0], BeforeValidator(lambda value: _exactly(value, 0))]
Metadata = Annotated[dict[str, str], Field(max_length=16), entries(16)]
NO_EFFECT = "Accepted for compatibility, without effect."


def ranged(low: float, high: float, about: str | None = None, *, above: bool = False) -> Any:
    """An optional field whose JSON schema states a range that ``mavis_core`` enforces; ``above``: without ``low``."""
    schema: dict[str, Any] = {"exclusiveMinimum" if above else "minimum": low, "maximum": high}
    return Field(default=None, description=about, json_schema_extra=schema)
