"""What a form of calls has to be able to do, and how a grammar is put together from it.

A grammar is llguidance's Lark. A marker that the vocabulary has as a token of its own may not be text to it, and then
stands there by its number (``is_apart``).
"""

from __future__ import annotations

import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from server.tools.parts import Reader
from server.tools.use import Function

Special = Mapping[str, int]  # a marker's spelling -> the token that it is, where that is no text to a grammar
Call = tuple[str, Mapping[str, Any]]  # name and arguments
ANYTHING = r"(.|\n)*"
# Spaces in arguments are fixed: left free, a model that is unsure writes spaces until its limit. So are escapes:
# \uXXXX is a second way to write a key.
COMPACT = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": 'nrbtf\\"',
}


def is_apart(token: Any) -> bool:
    """Whether llguidance takes a ``tokenizers.AddedToken`` for no text: a special one, or any that looks like a tag."""
    return bool(token.special or (token.content.startswith("<") and token.content.endswith(">")))


class ToolFormat(ABC):
    """Attributes:
    name: vLLM's.
    signs: patterns of which a chat template has one if its model writes calls like this.
    opening: the marker before the first call, behind which no text is; "" where calls are all of an answer.
    markers: all that may be special tokens.
    example: a call, for models that are told in words how to write one.
    """

    name: str
    signs: tuple[str, ...]
    opening: str
    markers: tuple[str, ...]
    example: str

    @abstractmethod
    def calls(self, functions: Sequence[Function], schemas: Sequence[Mapping[str, Any]], parallel: bool,
              special: Special) -> list[str]:  # fmt: skip
        """Lark of a rule ``calls``, what follows the ``opening``: one call by ``schemas``, or several."""

    @abstractmethod
    def reader(self) -> Reader: ...

    @abstractmethod
    def written(self, calls: Sequence[Call]) -> str:
        """Calls as the model would have written them."""

    @property
    def taken_for_calls(self) -> str:
        """Where there is no ``opening``: a pattern of beginnings of answers that are read as calls."""
        return ""

    def call_id(self) -> str:
        return f"call_{uuid.uuid4().hex[:24]}"

    def shown_id(self, call_id: str) -> str:
        """The id of a call as the chat template takes it."""
        return call_id

    def start(self, required: bool, answer: bool, special: Special) -> list[str]:
        """Lark of the whole text: ``calls`` behind their opening, or unless ``required`` text, or a rule ``answer``."""
        opening = literal(self.opening, special)
        if required or answer:
            return [f"start: {'answer | ' if answer and not required else ''}{opening} calls"]
        if not self.opening:
            return ["start: TEXT | calls", f"TEXT: /{ANYTHING}/ & ~/{self.taken_for_calls}{ANYTHING}/"]
        marker = re.escape(self.opening).replace("/", r"\/")
        text = f"TEXT: /{ANYTHING}/ & ~/{ANYTHING}{marker}{ANYTHING}/"  # spelled in letters it is read as a call, too
        if self.opening in special:
            return [f"start: TEXT | TEXT {opening} calls", text]
        return ["start: TEXT | until_calls calls", text, f"until_calls[lazy]: /{ANYTHING}{marker}/"]


def literal(text: str, special: Special) -> str:
    """``text`` in Lark, its special tokens by their numbers."""
    pattern = "|".join(map(re.escape, special)) or "(?!)"
    pieces = re.split(f"({pattern})", text)
    return " ".join(f"<[{special[p]}]>" if p in special else orjson.dumps(p).decode() for p in pieces if p)


def arguments(schema: Mapping[str, Any]) -> str:
    """Lark of an object by ``schema``."""
    return value({**schema, "type": "object"})


def value(schema: Any) -> str:
    """Lark of a value by ``schema``, which may be true."""
    return f"%json {orjson.dumps({**({} if schema is True else schema), 'x-guidance': COMPACT}).decode()}"
