"""Keeps users' text that spells a control token as text: only the chat template's ``<|end|>`` ends anything.

Control tokens are the tokenizer's special ones, and added ones that the template writes. Where a request spells one,
marks are put around it before the template is rendered, so that the template still sees the text itself. Then the
template's own control tokens, which are unmarked, are renamed, and a copy of the tokenizer that knows only the new
names encodes the whole: text is cut into tokens as anywhere else, spaces and neighbours included. Few requests spell
one, and only those come here. transformers can do something like it (``sanitize_control_tokens``), piece by piece and
by switching the tokenizer that others use at the same time.

Two things are missed: spellings that the template makes by joining or changing texts, and spellings that only a
normaliser makes, of special tokens that are looked for after it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from mavis_core.api.errors import InvalidRequestError

# Noncharacters, which no text needs; they are removed from texts before those are marked.
BEGIN, END, NAME, NAMED = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
MARKS = str.maketrans(dict.fromkeys(BEGIN + END + NAME + NAMED))


class ControlTokens:
    """Args:
    backend: a ``tokenizers.Tokenizer``.
    template: the chat template's source.
    """

    def __init__(self, backend: Any, template: str) -> None:
        added = backend.get_added_tokens_decoder()
        self._ids = {
            token.content: i
            for i, token in added.items()
            if not token.content.isspace() and (token.special or token.content in template)
        }
        self._backend, self._added = backend, added
        spelling = one_of(self._ids)
        self._spelling = re.compile(spelling)
        self._marked = re.compile(f"{BEGIN}({spelling}){END}|{spelling}")
        self._names = {content: f"{NAME}{i}{NAMED}" for content, i in self._ids.items()}
        self._reader: Any = None

    def spelled_in(self, value: Any) -> bool:
        """Whether any text in ``value``, keys included and at any depth, spells a control token."""
        left = [value]
        while left:
            value = left.pop()
            if isinstance(value, str):
                if self._spelling.search(value):
                    return True
            elif isinstance(value, Mapping):
                left += [*value.keys(), *value.values()]
            elif isinstance(value, list | tuple):
                left += value
        return False

    def marked(self, value: Any) -> Any:
        """``value`` with marks around every spelling; raises RecursionError if it is nested too deeply."""
        if isinstance(value, str):
            return self._spelling.sub(f"{BEGIN}\\g<0>{END}", value.translate(MARKS))
        if isinstance(value, Mapping):
            return {self.marked(key): self.marked(item) for key, item in value.items()}
        return [self.marked(item) for item in value] if isinstance(value, list | tuple) else value

    def encode(self, text: str, add_special_tokens: bool, param: str) -> list[int]:
        """Token ids of a rendered conversation with marks.

        Raises:
            InvalidRequestError: the tokenizer reads a marked spelling as a control token after all.
        """
        quoted: set[int] = set()

        def renamed(found: re.Match[str]) -> str:
            if found[1] is None:
                return self._names[found[0]]
            quoted.add(self._ids[found[1]])
            return found[1]

        reader, actual = self._read_by_names()
        plain = re.sub(f"[{BEGIN}{END}]", "", self._marked.sub(renamed, text))
        token_ids = reader.encode(plain, add_special_tokens=add_special_tokens).ids
        unknown = reader.token_to_id(getattr(reader.model, "unk_token", None) or "")
        for token_id in quoted.intersection(token_ids) - {unknown}:
            spelling = self._added[token_id].content
            raise InvalidRequestError(f"{param}: spells {spelling!r}, which this model cannot read as text", param)
        return [actual.get(token_id, token_id) for token_id in token_ids]

    def _read_by_names(self) -> tuple[Any, dict[int, int]]:
        """The copy, made when it is first needed, and its ids of new names -> the ids that they stand for."""
        if self._reader is None:
            from tokenizers import AddedToken  # the server can be imported without it

            reader = copy.deepcopy(self._backend)
            reader.no_padding()
            reader.no_truncation()
            # With ``encode_special_tokens``, special tokens are read as text, and other added tokens are not.
            reader.add_special_tokens([AddedToken(content, special=True) for content in self._ids])
            reader.encode_special_tokens = True
            names = [
                AddedToken(
                    name,
                    lstrip=self._added[self._ids[content]].lstrip,
                    rstrip=self._added[self._ids[content]].rstrip,
                    single_word=self._added[self._ids[content]].single_word,
                    normalized=False,
                )
                for content, name in self._names.items()
            ]
            reader.add_tokens(names)
            actual = {reader.token_to_id(name): self._ids[content] for content, name in self._names.items()}
            self._reader = reader, actual
        found: tuple[Any, dict[int, int]] = self._reader
        return found


def one_of(words: Iterable[str]) -> str:
    """A pattern that finds any of ``words``, the longest at a place, without trying one after the other."""
    after: dict[str, set[str]] = {}
    for word in words:
        if word:
            after.setdefault(word[0], set()).add(word[1:])
    if not after:
        return "(?!)"
    found = []
    for first, rests in sorted(after.items()):
        rest = one_of(rests - {""}) if rests - {""} else ""
        found.append(re.escape(first) + (f"(?:{rest})?" if "" in rests and rest else rest))
    return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"


@lru_cache(maxsize=4)
def control_tokens_of(backend: Any, template: str) -> ControlTokens:
    """The same object for every user of one tokenizer and template."""
    return ControlTokens(backend, template)
