"""What an answer must look like: OpenAI's ``response_format``, vLLM's ``structured_outputs`` and older ``guided_*``.

One of them at a time. All of them bind: ``strict`` of a JSON schema is taken and changes nothing, because an answer
never leaves its schema here. A schema or grammar that the engine cannot follow is a 400 that names the field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, StringConstraints

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from server.protocol.fields import NoEffect, Refused, Tolerant
from server.tools.use import TOOL_NAME, Constraint, in_clients_words

ToolName = Annotated[str, StringConstraints(pattern=f"^{TOOL_NAME}$")]
StructureKind = Literal["json_schema", "regex", "choice", "grammar"]
Schema = dict[str, Any]
Choices = Annotated[
    list[Annotated[str, StringConstraints(min_length=1)]], Field(fail_fast=True, min_length=1, max_length=1024)
]
ANY_OBJECT = Structure("json_schema", '{"type":"object"}')
# What each type of a response_format must bring, and which types each of its fields goes with.
REQUIRED = {"json_schema": "json_schema", "json": "value", "regex": "value"}
TYPES_OF = {"json_schema": "json_schema", "schema": "json_object or json_schema", "value": "json_object, json or regex"}


class JsonSchema(Tolerant):
    name: str | None = Field(default=None, description="For the reader; the model does not see it.")
    description: str | None = Field(default=None, description="For the reader; the model does not see it.")
    schema_: Schema | None = Field(default=None, alias="schema", description="null is any object.")
    strict: bool | None = Field(default=None, description="Always as if true.")


class ResponseFormat(Tolerant):
    type: Literal["text", "json_object", "json_schema", "json", "regex"]
    json_schema: JsonSchema | None = None
    schema_: Schema | None = Field(default=None, alias="schema", description="Of a json_object, as llama.cpp has it.")
    value: Schema | str | None = Field(default=None, description="Hugging Face's: the schema, or the regex.")

    def structure(self) -> Structure | None:
        """Raises InvalidRequestError where ``type`` and what is given do not go together."""
        given = {"json_schema": self.json_schema, "schema": self.schema_, "value": self.value}
        named = [name for name, value in given.items() if value is not None]
        allowed = {"text": [], "json_schema": ["json_schema", "schema"], "regex": ["value"]}
        for name in named:
            if name not in allowed.get(self.type, ["schema", "value"]):
                field = f"response_format.{name}"
                raise InvalidRequestError(f"{field} is only allowed where type is {TYPES_OF[name]}", field)
        if len(named) > 1:
            field = f"response_format.{named[1]}"
            raise InvalidRequestError(f"{field}: not together with response_format.{named[0]}", field)
        if not named and self.type in REQUIRED:
            field = f"response_format.{REQUIRED[self.type]}"
            raise InvalidRequestError(f"{field} is required where type is {self.type}", field)
        if self.type == "text":
            return None
        if self.type == "regex":
            if not isinstance(self.value, str):
                raise InvalidRequestError(
                    "response_format.value: must be a string where type is regex", "response_format.value"
                )
            return structure_of("regex", self.value, "response_format")
        schema = (
            self.json_schema.schema_ if self.json_schema else self.schema_ if self.schema_ is not None else self.value
        )
        return json_structure(schema, "response_format")


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
    """Raises InvalidRequestError in the client's words where the structure itself cannot be."""
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
