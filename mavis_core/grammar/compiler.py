"""Compiles structures into matchers by llguidance, for one tokenizer and one set of limits. Torch-free.

The server compiles in processes that can be ended (``grammar/processes.py``), since no limit of the library holds for
everything. Offline the caller's own process compiles: the structure is the caller's own.

Nothing is kept between requests: copies of an llguidance matcher share one lexer, its table of states and its limits,
so an answer that reached them would fail every later request with the same schema. Compiling a usual schema takes about
a millisecond.

The library is imported with the first structure, so a machine with torch and transformers only works without it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure, param_of_schemas
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.grammar.deep_stack import call_deep
from mavis_core.grammar.matcher import Matcher
from mavis_core.grammar.schema_promises import DEFAULTS, INLINE, check_schema, place_of
from mavis_core.grammar.steps import OwnSteps, shorten, told

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer
# Finds %json, and the strings, comments and patterns in which it means nothing.
LARK = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/(?:\\.|[^/\\\n])+/|%json\s*')
UNKNOWN = re.compile(r'^Unimplemented keys: \["([^"]+)"')


@cache
def _limits() -> LLParserLimits:
    """Limits that stop most hostile grammars: a step takes below some 0.3 s (all steps: ``Budget``), a lexer 20 MB.

    The library does not check them within one derivative of an intersection (``A & B`` in Lark, ``allOf`` of patterns),
    the cost of which is exponential in the number of its parts.
    """
    from llguidance import LLParserLimits

    return LLParserLimits(
        initial_lexer_fuel=50_000,
        step_lexer_fuel=50_000,
        step_max_items=20_000,
        max_lexer_states=20_000,
        max_grammar_size=100_000,
        verbose_errors=False,
    )


class GrammarCompiler:
    """Compiles for one model.

    Args:
        tokenizer: or None, then every structure is refused.
        vocab_size: V, of the logits; may exceed the tokenizer's.
        stop_token_ids: the model's own.
    """

    def __init__(self, tokenizer: Tokenizer | None, vocab_size: int, stop_token_ids: tuple[int, ...]) -> None:
        self._source = tokenizer
        self._vocab_size = vocab_size
        self._stop_token_ids = stop_token_ids
        self._lock = Lock()
        self._tokenizer: LLTokenizer | None = None

    def compile(self, structure: Structure) -> Matcher:
        """A matcher at the start of an answer, made in this process; the library's limits are all that bounds it.

        Raises:
            InvalidRequestError: with param "structure"; the library's reason, shortened.
        """
        tokenizer = self._ready()
        return Matcher(OwnSteps(call_deep(lambda: start(tokenizer, structure))), tokenizer.eos_tokens)

    def vocabulary(self) -> Vocabulary:
        """What ``Vocabulary.load`` needs; raises InvalidRequestError where structures cannot be served at all."""
        if self._source is None:
            raise InvalidRequestError("structure: this engine has no tokenizer", "structure")
        if find_spec("llguidance") is None:
            raise InvalidRequestError("structure: llguidance is not installed where the engine runs", "structure")
        backend = copy.copy(self._source.backend_tokenizer)
        backend.no_padding()
        backend.no_truncation()
        return Vocabulary(backend.to_str(), self._vocab_size, self._stop_token_ids)

    def _ready(self) -> LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = self.vocabulary().load()
            return self._tokenizer


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What grammars are compiled for: a tokenizer as JSON, V, and the model's stop tokens."""

    source: str
    size: int
    stop_token_ids: tuple[int, ...]

    def load(self) -> LLTokenizer:
        """llguidance's form of it, made in about a second for a large vocabulary; raises InvalidRequestError."""
        from llguidance import LLTokenizer

        try:
            return LLTokenizer(self.source, n_vocab=self.size, eos_token=list(self.stop_token_ids) or None)
        except ValueError as error:
            raise InvalidRequestError(
                f"structure: not with this model's tokenizer: {shorten(str(error))}", "structure"
            ) from error


def start(tokenizer: LLTokenizer, structure: Structure) -> LLMatcher:
    """Compile; it recurses deeply (``deep_stack.py``).

    Raises:
        InvalidRequestError: with param "structure", or that of the inline schemas which cannot be followed.
    """
    try:
        return _started(tokenizer, structure)
    except InvalidRequestError as error:
        faults = _faults(tokenizer, structure)
        if not faults:
            raise
        number, why = next(iter(faults.items()))
        told = f"structure: {structure.kind}: schema {number}: {why}"
        raise InvalidRequestError(told, param_of_schemas(faults)) from error


def _faults(tokenizer: LLTokenizer, structure: Structure) -> dict[int, str]:
    """Why each of a grammar's inline schemas cannot be followed alone, by its order; only of those that cannot."""
    found: dict[int, str] = {}
    if structure.kind != "grammar":
        return found
    for number, (first, end, _) in enumerate(_inline(structure.source)):
        try:
            _started(tokenizer, Structure("json_schema", structure.source[first:end]))
        except InvalidRequestError as error:
            found[number] = str(error).removeprefix("structure: json_schema: ")
    return found


def _started(tokenizer: LLTokenizer, structure: Structure) -> LLMatcher:
    from llguidance import LLMatcher

    matcher = LLMatcher(tokenizer, _grammar(structure), log_level=0, limits=_limits())
    if not matcher.is_error():
        matcher.compute_bitmask()  # finds grammars that no token can begin
    if matcher.is_error():
        why = told(matcher.get_error())
        if structure.kind == "json_schema" and (unknown := UNKNOWN.search(why)):
            why += place_of(unknown[1], json.loads(structure.source))
        raise InvalidRequestError(f"structure: {structure.kind}: {why}", "structure")
    return matcher


def _grammar(structure: Structure) -> str:
    """The structure as llguidance reads it."""
    from llguidance import LLMatcher

    source = structure.source
    match structure.kind:
        case "json_schema":
            schema = json.loads(source, parse_float=Decimal)
            check_schema(schema)
            try:
                return LLMatcher.grammar_from_json_schema("{}" if schema is True else source, defaults=DEFAULTS)
            except ValueError as error:
                raise InvalidRequestError(f"structure: json_schema: {told(str(error))}", "structure") from error
        case "regex":
            return LLMatcher.grammar_from_regex(source)
        case "choice":
            return LLMatcher.grammar_from_lark("start: " + " | ".join(map(_literal, json.loads(source))))
        case "grammar":
            return LLMatcher.grammar_from_lark(_with_defaults(_lark(source)))


def _literal(text: str) -> str:
    """``text`` in Lark: a JSON string, with U+007F escaped, which JSON leaves plain and the library refuses."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _lark(source: str) -> str:
    from llguidance.gbnf_to_lark import gbnf_to_lark, is_lark_syntax

    if "::=" not in source or is_lark_syntax(source):
        return source
    try:
        return gbnf_to_lark(source)
    except Exception as error:  # it raises plain Exceptions
        raise InvalidRequestError(f"structure: grammar: as GBNF: {shorten(str(error))}", "structure") from error


def _with_defaults(lark: str) -> str:
    """Each JSON schema after ``%json`` checked and given our escapes; the library refuses those that are not JSON."""
    parts, done = [], 0
    for at, _, schema in _inline(lark):
        check_schema(schema)
        if isinstance(schema, dict) and "x-guidance" not in schema:
            parts += [lark[done : at + 1], f'"x-guidance": {json.dumps(INLINE)}', ", " if schema else ""]
            done = at + 1
    return "".join([*parts, lark[done:]])


def _inline(lark: str) -> Iterator[tuple[int, int, object]]:
    """Each JSON schema after ``%json``: where it begins and ends, and what it is."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    at = 0
    while (found := LARK.search(lark, at)) is not None:
        at = found.end()
        if not found[0].startswith("%json"):
            continue
        try:
            schema, end = decoder.raw_decode(lark, at)
        except (ValueError, RecursionError):
            continue
        yield at, end, schema
        at = end
