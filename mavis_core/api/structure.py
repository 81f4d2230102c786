"""What form an answer must have: a JSON schema, a regular expression, one of some strings, or a grammar.

Frozen, torch-free, and checked at construction as far as that needs no tokenizer: form and size. Whether the grammar
library can serve it is known only after compilation (``grammar/compiler.py``), which then refuses the request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from mavis_core.api.errors import InvalidRequestError

StructureKind = Literal["json_schema", "regex", "choice", "grammar"]
MAX_STRUCTURE_LENGTH = 65_536
MAX_CHOICES_TO_OFFER = 4096


@dataclass(frozen=True, slots=True)
class Structure:
    """The form of an answer.

    Attributes:
        kind: how ``source`` is written.
        source: at most 65,536 characters;
            json_schema: the schema as JSON text, an object or true (any JSON value). Answers are compact JSON; the
                schema's own ``x-guidance`` (llguidance's options, such as ``whitespace_flexible``) overrides that.
            regex: the whole answer, in the syntax of Rust's ``regex`` without look-around and back references.
            choice: a JSON list of 1 to 4,096 strings, one of which is the answer.
            grammar: Lark as llguidance reads it (first rule ``start``), or GBNF/EBNF with ``root ::= ...``.

    Raises:
        InvalidRequestError: with param "structure".
    """

    kind: StructureKind
    source: str

    def __post_init__(self) -> None:
        if self.kind not in get_args(StructureKind):
            raise _wrong(f"kind={self.kind!r}: must be one of {', '.join(get_args(StructureKind))}")
        if not isinstance(self.source, str):
            raise _wrong(f"the {self.kind} must be a string, not {type(self.source).__name__}")
        if not self.source.strip():
            raise _wrong(f"the {self.kind} is empty")
        if len(self.source) > MAX_STRUCTURE_LENGTH:
            raise _wrong(f"the {self.kind} has {len(self.source)} characters: at most {MAX_STRUCTURE_LENGTH}")
        if not _is_text(self.source):
            raise _wrong(f"the {self.kind} holds half of a surrogate pair, which is not text")
        if self.kind == "json_schema" and not (isinstance(found := self._parsed(), dict) or found is True):
            raise _wrong("the json_schema must be a JSON object or true")
        if self.kind == "choice":
            self._check_choices(self._parsed())

    def _parsed(self) -> object:
        try:
            return json.loads(self.source)
        except (ValueError, RecursionError) as error:
            raise _wrong(f"the {self.kind} is not JSON: {error}") from error

    def _check_choices(self, choices: object) -> None:
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise _wrong("the choice must be a list of strings")
        if not 1 <= len(choices) <= MAX_CHOICES_TO_OFFER:
            raise _wrong(f"the choice has {len(choices)} strings: must be 1 to {MAX_CHOICES_TO_OFFER}")
        if not all(map(_is_text, choices)):
            raise _wrong("the choice holds half of a surrogate pair, which is not text")


def param_of_schemas(numbers: Iterable[int]) -> str:
    """The param of a grammar's refusal where some of its inline schemas, by their order, cannot be followed even alone.

    Any other refusal of a structure has the param "structure".
    """
    return f"structure.schemas[{','.join(map(str, numbers))}]"


def schemas_at_fault(param: str | None) -> frozenset[int]:
    """The numbers in such a param; none where it is another one."""
    found = re.fullmatch(r"structure\.schemas\[([\d,]+)\]", param or "")
    return frozenset(map(int, found[1].split(","))) if found else frozenset()


def _is_text(source: str) -> bool:
    try:
        source.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong(message: str) -> InvalidRequestError:
    return InvalidRequestError(f"structure: {message}", "structure")
