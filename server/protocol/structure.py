"""The form of an answer: OpenAI's ``response_format``, vLLM's ``structured_outputs`` and its older ``guided_*``.

A request may have one of them. All of them bind as far as the grammar library can follow: what it cannot follow of a
JSON schema is left out and named, or refused where ``strict`` is true (``server/tools/held.py``). A grammar that the
engine cannot follow is a 400 that names the field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, StringConstraints

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure, StructureKind
from server.protocol.fields import NoEffect, Refused, Tolerant
from server.tools.held import held
from server.tools.use import TOOL_NAME, Constraint, in_clients_words

ToolName = Annotated[str, StringConstraints(pattern=f"^{TOOL_NAME}$")]
Schema = dict[str, Any]
Choices = Annotated[
    list[Annotated[str, StringConstraints(min_length=1)]], Field(fail_fast=True, min_length=1, max_length=1024)
]
ANY_OBJECT = Structure("json_schema", '{"type":"object"}')
GOES_WITH = {
    "text": (),
    "json_object": ("schema", "value"),
    "json_schema": ("json_schema", "schema"),
    "json": ("value", "schema"),
    "regex": ("value",),
}


class JsonSchema(Tolerant):
    name: str | None = Field(default=None, description="For the reader; the model does not see it.")
    description: str | None = Field(default=None, description="For the reader; the model does not see it.")
    schema_: Schema | None = Field(default=None, alias="schema", description="null is any object.")
    strict: bool | None = Field(default=None, description="Refuse what cannot be held to.")


class ResponseFormat(Tolerant):
    type: Literal["text", "json_object", "json_schema", "json", "regex"]
    json_schema: JsonSchema | None = None
    schema_: Schema | None = Field(default=None, alias="schema", description="Of a json_object, as llama.cpp has it.")
    value: Schema | str | None = Field(default=None, description="Hugging Face's: the schema, or the regex.")

    def constraint(self) -> Constraint | None:
        """Raises InvalidRequestError where ``type`` and what is given do not go together."""
        name = self._given()
        if self.type == "text":
            return None
        if self.type == "regex":
            if not isinstance(self.value, str):
                field = "response_format.value"
                raise InvalidRequestError(f"{field}: must be a string where type is regex", field)
            return Constraint(structure_of("regex", self.value, "response_format"), "response_format")
        if self.json_schema is not None:
            schema, strict = self.json_schema.schema_, self.json_schema.strict is True
            return json_constraint(schema, "response_format", "response_format.json_schema.schema", strict)
        asked = self.value if name == "value" else self.schema_
        return json_constraint(asked, "response_format", f"response_format.{name}")

    def _given(self) -> str | None:
        """Which of the fields beside ``type`` says what to follow; raises InvalidRequestError."""
        given = {"json_schema": self.json_schema, "schema": self.schema_, "value": self.value}
        names = [name for name, value in given.items() if value is not None]
        for name in names:
            if name not in GOES_WITH[self.type]:
                types = " or ".join(kind for kind, fields in GOES_WITH.items() if name in fields)
                field = f"response_format.{name}"
                raise InvalidRequestError(f"{field} is only allowed where type is {types}", field)
        if len(names) > 1:
            field = f"response_format.{names[1]}"
            raise InvalidRequestError(f"{field}: not together with response_format.{names[0]}", field)
        if not names and self.type in ("json_schema", "json", "regex"):
            field = f"response_format.{GOES_WITH[self.type][0]}"
            raise InvalidRequestError(f"{field} is required where type is {self.type}", field)
        return names[0] if names else None


class StructuredOutputs(Tolerant):
    """vLLM's, one of the first five."""

    json_: Schema | str | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = Field(default=None, description="Lark or GBNF.")
    json_object: bool | None = None
    structural_tag: Refused = None
    disable_any_whitespace: Refused = None
    disable_additional_properties: Refused = None
    disable_fallback: NoEffect = None
    whitespace_pattern: Refused = None


class StructuredFields(Tolerant):
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | str | None = None
    guided_regex: str | None = None
    guided_choice: Choices | None = None
    guided_grammar: str | None = None
    guided_json_object: bool | None = None
    guided_decoding_backend: NoEffect = None
    guided_whitespace_pattern: Refused = None

    def constraint(self) -> Constraint | None:
        found = []
        if self.response_format is not None and (asked_for := self.response_format.constraint()):
            found.append(asked_for)
        if self.structured_outputs is not None:
            asked = self.structured_outputs
            given = _constraints(
                "structured_outputs.", asked.json_, asked.regex, asked.choice, asked.grammar, asked.json_object
            )
            if not given:
                raise InvalidRequestError(
                    "structured_outputs: one of json, regex, choice, grammar, json_object is required",
                    "structured_outputs",
                )
            found += given
        found += _constraints(
            "guided_", self.guided_json, self.guided_regex, self.guided_choice, self.guided_grammar,
            self.guided_json_object,
        )  # fmt: skip
        if len(found) > 1:
            first, second = found[0].field, found[1].field
            raise InvalidRequestError(f"{first} and {second}: only one constraint at a time", second)
        return found[0] if found else None


def json_constraint(schema: Schema | str | None, field: str, at: str, strict: bool = False) -> Constraint:
    """``at`` is where the schema itself stands; raises InvalidRequestError."""
    if schema is None:
        return Constraint(ANY_OBJECT, field)
    source, relaxed = _source(schema, strict, at)
    return Constraint(structure_of("json_schema", source, field), field, tuple(relaxed))


def _source(schema: Schema | str, strict: bool, at: str) -> tuple[str, list[str]]:
    """What is held to as text; text that is no schema stays as it is, and the structure says what is wrong with it."""
    try:
        read = orjson.loads(schema) if isinstance(schema, str) else schema
        if not isinstance(read, dict):
            return str(schema), []
        made, relaxed = held(read, strict, at)
        if isinstance(schema, str) and made == read:
            return schema, []
        return orjson.dumps(made).decode(), relaxed
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return str(schema), []


def structure_of(kind: StructureKind, source: str, field: str) -> Structure:
    """A structure; raises InvalidRequestError that names the client's field if it is malformed."""
    try:
        return Structure(kind, source)
    except InvalidRequestError as error:
        raise in_clients_words(error, field) from None


def _constraints(
    prefix: str,
    schema: Schema | str | None,
    regex: str | None,
    choice: list[str] | None,
    grammar: str | None,
    json_object: bool | None,
) -> list[Constraint]:
    found: list[Constraint] = []
    if schema is not None:
        found.append(json_constraint(schema, f"{prefix}json", f"{prefix}json"))
    sources: list[tuple[StructureKind, str | None]] = [
        ("regex", regex),
        ("choice", None if choice is None else orjson.dumps(choice).decode()),
        ("grammar", grammar),
    ]
    for kind, source in sources:
        if source is not None:
            found.append(Constraint(structure_of(kind, source, prefix + kind), prefix + kind))
    if json_object:
        found.append(Constraint(ANY_OBJECT, f"{prefix}json_object"))
    return found
