"""Where one row stands in its grammar: which tokens may come next, and whether the answer is complete. Torch-free.

Stop tokens are ours, not the grammar's, whatever the tokenizer calls them:

- a stop token (the model's own or a requested one) may be drawn only where the answer is complete, so what ends with
  one is valid. A requested stop token that the grammar also wants as text is never drawn as text;
- where stop tokens are banned (``min_tokens``, the first token of a guided row) they stay banned as long as anything
  else can follow. Where nothing else can, the ban yields: the row ends with "stop";
- ``ignore_eos`` bans the model's own stop tokens likewise;
- a complete answer that nothing can follow ends at once, without a stop token.

Host work per token: one mask (30 to 100 µs is usual) and one advance. It runs between the launch of the forward and its
first use, so a device works meanwhile. llguidance's limits bound one step to some tenths of a second; an ambiguous
grammar that stays just below them would hold up the whole batch at every step, so what a request's steps cost together
is bounded here (``Budget``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher

MAX_MESSAGE = 300


class Budget:
    """What the grammar of one request may cost, over all its choices: CPU seconds of the thread that steps them.

    Ten times the usual for every token, and a reserve for expensive passages.
    """

    RESERVE = 0.5
    PER_TOKEN = 0.001

    def __init__(self) -> None:
        self._left = self.RESERVE

    @property
    def exceeded(self) -> bool:
        return self._left < 0

    @contextmanager
    def measured(self, tokens: int) -> Iterator[None]:
        """Take off what happens inside, which moves a row on by so many tokens."""
        start = time.thread_time()
        yield
        self._left += tokens * self.PER_TOKEN - (time.thread_time() - start)


class Matcher:
    """One row's place in a compiled grammar.

    Args:
        matcher: at the start. Copies share its lexer and with it the limits, so it belongs to one request.
        eos: stop tokens as the grammar library knows them.
        budget: shared by the request's rows; one of its own if not given.

    Attributes:
        error: why the row cannot go on, or None.
        ended: nothing but the end was allowed at the last draw.
    """

    def __init__(self, matcher: LLMatcher, eos: Iterable[int], budget: Budget | None = None) -> None:
        self._matcher = matcher
        self._budget = budget or Budget()
        self._eos = tuple(eos)
        self.error: str | None = None
        self.ended = False

    def copy(self) -> Matcher:
        """The same place, to be moved on its own."""
        return Matcher(self._matcher.deep_copy(), self._eos, self._budget)

    @property
    def complete(self) -> bool:
        """Whether the answer so far is a whole one."""
        return self._matcher.is_accepting()

    @property
    def exhausted(self) -> bool:
        """Whether nothing can follow."""
        return self._matcher.is_stopped()

    def accepts(self, token: int) -> bool:
        """Whether the grammar takes this token next; slow, and the truth that ``allowed`` must equal."""
        return self._matcher.validate_tokens([token]) == 1

    def allowed(self, stop_ids: tuple[int, ...], banned: bool) -> bytearray:
        """What may be drawn next, one bit per token (token t is bit t % 8 of byte t // 8), at least one set.

        After an ``error`` everything is allowed: the row ends with whatever is drawn.

        Args:
            stop_ids: tokens that end this row.
            banned: whether they are to be avoided now.
        """
        with self._budget.measured(0):
            bits = bytearray(self._matcher.compute_bitmask())
        complete = self.complete
        if self._failed():
            return bytearray(b"\xff") * len(bits)
        for token in (*self._eos, *stop_ids):
            bits[token >> 3] &= ~(1 << (token & 7))
        if complete and not banned:
            _set(bits, stop_ids)
        if bits.count(0) < len(bits):
            return bits
        if complete:
            self.ended = True
            _set(bits, stop_ids or self._eos)
            return bits
        self.error = "structure: no token of the vocabulary can continue the answer (stop_token_ids are not text)"
        return bytearray(b"\xff") * len(bits)

    def advance(self, token: int) -> None:
        """Append a token that was allowed and does not stop the row; may set ``error``."""
        with self._budget.measured(1):
            self._matcher.consume_token(token)
        self._failed()

    def _failed(self) -> bool:
        if self._matcher.is_error():
            self.error = f"structure: the grammar became too complex: {shorten(self._matcher.get_error())}"
        elif self._budget.exceeded:
            self.error = (
                "structure: the grammar became too complex: it takes too long to follow; make it less ambiguous"
            )
        return self.error is not None


def shorten(message: str) -> str:
    """A library's message on one line and without what is for its developers."""
    line = " ".join(message.replace("<non-verbose/>", "").split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def _set(bits: bytearray, tokens: Iterable[int]) -> None:
    for token in tokens:
        bits[token >> 3] |= 1 << (token & 7)
