"""A place in a compiled grammar, moved on token by token, and what that may cost. Torch-free.

``Steps`` is what a matcher needs of it. ``OwnSteps`` are taken by llguidance in this process, ``RemoteSteps`` of
``grammar/processes.py`` in another one.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from llguidance import LLMatcher

log = logging.getLogger(__name__)

MAX_MESSAGE = 300
INTERNAL = re.compile(r"panic: |panicked at|<backtrace>|\.cargo/|\.rs:\d")
TOO_LONG = "the grammar became too complex: it takes too long to follow; make it less ambiguous"


class Steps(Protocol):
    """A place in a grammar.

    Attributes:
        error: why no token can be appended, or None; once set it stays.
        complete: whether the text so far is a complete answer.
        exhausted: whether nothing can follow.
    """

    @property
    def error(self) -> str | None: ...

    @property
    def complete(self) -> bool: ...

    @property
    def exhausted(self) -> bool: ...

    def bits(self) -> bytes:
        """What may follow, one bit per token (token t is bit t % 8 of byte t // 8); may set ``error``."""

    def advance(self, token: int) -> None:
        """Append a token; may set ``error``."""

    def accepts(self, token: int) -> bool:
        """Whether this token may follow; slow, and what ``bits`` is tested against."""

    def copy(self) -> Steps:
        """A second object at the same place, which moves independently."""


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
        """Charge the time of the block, and credit the budget of ``tokens`` tokens."""
        start = time.thread_time()
        yield
        self._left += tokens * self.PER_TOKEN - (time.thread_time() - start)


class OwnSteps:
    """Args:
    matcher: at the start of an answer. Copies share its lexer and with it the limits, so it belongs to one request.
    budget: shared by the request's rows; one of its own if not given.
    """

    def __init__(self, matcher: LLMatcher, budget: Budget | None = None) -> None:
        self._matcher = matcher
        self._budget = budget or Budget()

    @property
    def error(self) -> str | None:
        if self._matcher.is_error():
            return f"the grammar became too complex: {told(self._matcher.get_error())}"
        return TOO_LONG if self._budget.exceeded else None

    @property
    def complete(self) -> bool:
        return self._matcher.is_accepting()

    @property
    def exhausted(self) -> bool:
        return self._matcher.is_stopped()

    def bits(self) -> bytes:
        with self._budget.measured(0):
            return self._matcher.compute_bitmask()

    def advance(self, token: int) -> None:
        with self._budget.measured(1):
            self._matcher.consume_token(token)

    def accepts(self, token: int) -> bool:
        return self._matcher.validate_tokens([token]) == 1

    def copy(self) -> OwnSteps:
        return OwnSteps(self._matcher.deep_copy(), self._budget)


def told(message: str) -> str:
    """A message of the library as clients are told it; a panic is the library's fault, and its text only logged."""
    if INTERNAL.search(message):
        log.error("llguidance failed: %s", message)
        return "the grammar library failed on it"
    return "no answer can fit it" if message.startswith("NoExtension") else shorten(message)


def shorten(message: str) -> str:
    """A message of the library on one line, without marks for its developers."""
    line = " ".join(message.replace("<non-verbose/>", "").split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
