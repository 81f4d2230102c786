"""Users' text that spells a control token stays text: only the chat template writes ``<|end|>`` that ends anything.

Control tokens are the tokenizer's special ones and what else it keeps whole that the template writes. Spellings of them
in what a request brings are put between marks before the template is rendered, so that it still sees them as they are.
Then its own, which are unmarked, are renamed, and a copy of the tokenizer that knows only the new names encodes the
whole: text is cut into tokens as anywhere else, spaces and neighbours included. Few requests spell one, and only those
come here. transformers can do something like it (``sanitize_control_tokens``), piece by piece and by switching the
tokenizer that others use at the same time.

Not seen: a spelling that the template puts together from texts or changes them into, and one that only a normaliser
makes, of special tokens that are looked for after it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from mavis_core.api.errors import InvalidRequestError

# Noncharacters, which text has no use for; they are left out of texts that are marked.
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
        """Whether a text anywhere in ``value``, keys included, spells one; however deep it is."""
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
        """The same with marks around every spelling; raises RecursionError where it is too deep."""
        if isinstance(value, str):
            return self._spelling.sub(f"{BEGIN}\\g<0>{END}", value.translate(MARKS))
        if isinstance(value, Mapping):
            return {self.marked(key): self.marked(item) for key, item in value.items()}
        return [self.marked(item) for item in value] if isinstance(value, list | tuple) else value

    def encode(self, text: str, add_special_tokens: bool, param: str) -> list[int]:
        """Token ids of a rendered conversation with marks.

        Raises:
            InvalidRequestError: the tokenizer reads a spelling as its token even so.
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
        """The copy, made when it is first needed, and which id of it means which."""
        if self._reader is None:
            from tokenizers import AddedToken  # the server is imported without it

            reader = copy.deepcopy(self._backend)
            reader.no_padding()
            reader.no_truncation()
            # What is special is not looked for; what is added beside it is.
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
    """One for all that read the same tokenizer and template."""
    return ControlTokens(backend, template)
