"""The form of an answer: OpenAI's ``response_format``, vLLM's ``structured_outputs`` and its older ``guided_*``.

A request may have one of them. All of them bind: ``strict`` of a JSON schema is accepted and changes nothing, because
an answer never leaves its schema here. A schema or grammar that the engine cannot follow is a 400 that names the field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, StringConstraints

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure, StructureKind
from server.protocol.fields import Refused, Strict
from server.tools.use import Constraint, in_clients_words

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Schema = dict[str, Any]
Choices = Annotated[
    list[Annotated[str, StringConstraints(min_length=1)]], Field(fail_fast=True, min_length=1, max_length=1024)
]
ANY_OBJECT = Structure("json_schema", '{"type":"object"}')


class JsonSchema(Strict):
    name: Name
    description: str | None = Field(default=None, description="For the reader; the model does not see it.")
    schema_: Schema | None = Field(default=None, alias="schema", description="null is any object.")
    strict: bool | None = Field(default=None, description="Always as if true.")


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def structure(self) -> Structure | None:
        if (self.json_schema is None) == (self.type == "json_schema"):
            wrong = "is required" if self.json_schema is None else "is only allowed"
            raise InvalidRequestError(
                f"response_format.json_schema {wrong} where type is json_schema", "response_format.json_schema"
            )
        if self.type == "text":
            return None
        return json_structure(self.json_schema.schema_ if self.json_schema else None, "response_format")


class StructuredOutputs(Strict):
    """vLLM's, one of the first five."""

    json_: Schema | str | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = Field(default=None, description="Lark or GBNF.")
    json_object: bool | None = None
    structural_tag: Refused = None
    disable_any_whitespace: Refused = None
    disable_additional_properties: Refused = None
    disable_fallback: Refused = None
    whitespace_pattern: Refused = None


class StructuredFields(Strict):
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | str | None = None
    guided_regex: str | None = None
    guided_choice: Choices | None = None
    guided_grammar: str | None = None
    guided_json_object: bool | None = None
    guided_decoding_backend: Refused = None
    guided_whitespace_pattern: Refused = None

    def constraint(self) -> Constraint | None:
        found = []
        if self.response_format is not None and (structure := self.response_format.structure()):
            found.append(Constraint(structure, "response_format"))
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


def json_structure(schema: Schema | str | None, field: str) -> Structure:
    if schema is None:
        return ANY_OBJECT
    return structure_of("json_schema", schema if isinstance(schema, str) else orjson.dumps(schema).decode(), field)


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
        found.append(Constraint(json_structure(schema, f"{prefix}json"), f"{prefix}json"))
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
