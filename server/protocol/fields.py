"""Building blocks of the request models.

Three kinds of field: implemented; ``Refused``, which the schema shows as empty-only so that a client's generator and
our documentation agree that it is not there; and ``NoEffect``, which is taken whatever it holds: bookkeeping that
OpenAI stores and we do not, and wishes about what this server has not got.

Two kinds of model: ``Strict`` is ours, an unknown field in it is refused; ``Tolerant`` is others', OpenAI's, vLLM's and
Anthropic's, whose clients send more than any server knows. What it does not know it leaves out, and
``unknown_fields.py`` says so. What would change an answer is never left out: it is implemented, or ``Refused``.

Ranges stand in the schema only: they are enforced once, by the constructors in ``mavis_core``, whose messages name
field, value and range.

A mapping's entries are counted before any of them is checked: pydantic would first report each of the 200,000 wrong
entries that a body has room for.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """No coercion ("1" is not 1, true is not 1), no unknown field. Answers, and what requests say in our own words."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _count_fields(cls, value: object) -> object:
        return _counted(value, MAX_FIELDS)


class Tolerant(Strict):
    """What requests say in OpenAI's and vLLM's words."""

    model_config = ConfigDict(extra="ignore")

    def unread(self) -> Iterator[str]:
        """What of the known fields cannot be read and is left out."""
        return iter(())


class Skipped(Tolerant):
    """An item of a list that is none of ours: left out whole and named by its type, which says what it was."""

    type: str


def entries(most: int) -> BeforeValidator:
    """A validator of a mapping's size, beside ``Field(max_length=most)``, which only the schema shows."""
    return BeforeValidator(lambda value: _counted(value, most))


def _nothing(value: object) -> object:
    """null for what asks for nothing."""
    return None if value is False or value == [] else value


Refused: TypeAlias = Annotated[
    None,
    Field(description="Not supported; only null, false and [] are accepted."),
    BeforeValidator(_nothing, json_schema_input_type=None | Literal[False] | Annotated[list[Any], Field(max_length=0)]),
]
EmptyList: TypeAlias = Annotated[list[Any], Field(max_length=0)]


def _exactly(value: object, allowed: object) -> object:
    if value is not None and type(value) is not type(allowed):
        raise PydanticKnownError("literal_error", {"expected": repr(allowed)})
    return value


# A Literal alone compares, and 0 equals False.
OnlyFalse: TypeAlias = Annotated[Literal[False], BeforeValidator(lambda value: _exactly(value, False))]
OnlyTrue: TypeAlias = Annotated[Literal[True], BeforeValidator(lambda value: _exactly(value, True))]
OnlyZero: TypeAlias = Annotated[Literal[0], BeforeValidator(lambda value: _exactly(value, 0))]
NO_EFFECT = "Accepted for compatibility, without effect."
NoEffect: TypeAlias = Annotated[Any, Field(description=NO_EFFECT)]


def ranged(low: float, high: float, about: str | None = None, *, above: bool = False) -> Any:
    """An optional field whose JSON schema states a range that ``mavis_core`` enforces; ``above``: without ``low``."""
    schema: dict[str, Any] = {"exclusiveMinimum" if above else "minimum": low, "maximum": high}
    return Field(default=None, description=about, json_schema_extra=schema)
