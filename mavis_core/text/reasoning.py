"""Whether an answer still reasons, told token by token from its markers (``api/reasoning.py``).

Markers are looked for in the text of all tokens, special ones included, so they may be one token or many, whatever the
client is shown. A token that has the end of a marker and more behind it belongs to the reasoning.
"""

from __future__ import annotations

from typing import Any, Literal

from mavis_core.api.reasoning import Reasoning
from mavis_core.text.running_text import RunningText
from mavis_core.text.token_bytes import token_bytes_of

Place = Literal["before", "inside", "behind"]


class ReasoningTracker:
    """One answer, from its first token on.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``.
        reasoning: of the request.

    Attributes:
        place: where the next token stands: "before" as long as the answer may still begin to reason, then "inside" and
            "behind"; "behind" at once where it begins with anything else.
        tokens: of the reasoning so far, its markers included.
        took: whether the last token belongs to the reasoning.
        opening: the token that begins the reasoning, where the vocabulary has one for it.
    """

    def __init__(self, tokenizer: Any, reasoning: Reasoning) -> None:
        self._reasoning = reasoning
        self._running = RunningText(token_bytes_of(tokenizer), skip_special_tokens=False)
        self._text = ""
        self._undecided = 0
        self.place: Place = "inside" if reasoning.opened else "before"
        self.tokens = 0
        self.took = False
        self.opening: int | None = tokenizer.token_to_id(reasoning.begin)

    def push(self, token: int) -> bool:
        """Add a token that is no stop token; whether it belongs to the reasoning."""
        if self.place == "behind":
            self.took = False
            return False
        self._text += self._running.add(token)
        self._undecided += 1
        if self.place == "before":
            self._decide()
        self.took = self.place == "inside"
        if self.took:
            self.tokens, self._undecided = self.tokens + self._undecided, 0
            self._look_for_end()
        return self.took

    def _decide(self) -> None:
        begin, there = self._reasoning.begin, (self._text + self._running.held).lstrip()
        if there.startswith(begin):
            self.place = "inside"
            self._text = self._text.lstrip()[len(begin) :]
        elif not begin.startswith(there):
            self.place = "behind"

    def _look_for_end(self) -> None:
        end = self._reasoning.end
        if end in self._text + self._running.held:
            self.place = "behind"
        self._text = self._text[-len(end) :]
