"""Values at run time (``/v1/values``): what is loaded, and a request to load more."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from server.protocol.fields import Strict


class LoadValueRequest(Strict):
    source: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="A folder in the server's values directory, shipped:heads, shipped:lm, shipped:smollm2, or what "
        "--values says. One of several values there: source#value."
    )


class ValueCard(Strict):
    name: str
    object: Literal["value"]
    kind: str
    objectives: list[str]


class ValueList(Strict):
    object: Literal["list"]
    data: list[ValueCard]


class DeletedValue(Strict):
    id: str
    object: Literal["value.deleted"]
    deleted: Literal[True]
