"""What the text of an answer must look like, as plain data: a schema, a pattern, a list or a grammar.

Torch-free. Whether a structure can be followed is for the engine to say; it refuses one that cannot with an
InvalidRequestError of param "structure".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StructureKind = Literal["json_schema", "regex", "choice", "grammar"]


@dataclass(frozen=True, slots=True)
class Structure:
    """Attributes:
    kind: what ``source`` is.
    source: a JSON schema as text, a regular expression, a JSON list of strings, or a grammar (Lark or GBNF).
    """

    kind: StructureKind
    source: str
