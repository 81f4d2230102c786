"""Requests and tokens per minute and key, on the ``limits`` library.

Fixed windows that begin with a key's first request: of the library's strategies the one whose storage can give back
what was reserved and not used. A request costs one request when it arrives, whatever becomes of it. Its tokens are
estimated when it is admitted (prompt, and ``max_tokens`` for every choice; an answer without a limit is not
estimated), which is what OpenAI does, and corrected when it ends, however it ends.

Counters are this process's own: each of several replicas counts for itself. The library's clock is the wall's: where
that is set back so far that a window would have longer to go than it lasts, a new one begins, so nobody waits for more
than a minute.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage

from server.errors import RateLimitError
from server.http.keys import ApiKey

LimitKind = Literal["requests", "tokens"]


class RateLimits:
    """``None``: without a limit, unless the key has its own."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._defaults: dict[LimitKind, int | None] = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self._storage = MemoryStorage()

    def allowance(self, key: ApiKey) -> Allowance:
        own: dict[LimitKind, int | None] = {"requests": key.requests_per_minute, "tokens": key.tokens_per_minute}
        windows = []
        for kind, default in self._defaults.items():
            most = own[kind] or default
            if most is not None:
                windows.append(Window(self._storage, kind, RateLimitItemPerMinute(most), key))
        return Allowance(tuple(windows))


@dataclass(frozen=True, slots=True)
class Window:
    """One limit of one key, in the minute that is running."""

    storage: MemoryStorage
    kind: LimitKind
    item: RateLimitItem
    key: ApiKey

    @property
    def counter(self) -> str:
        return self.item.key_for(self.kind, self.key.owner)

    @property
    def ends(self) -> float:
        ends = self.storage.get_expiry(self.counter)
        if ends > time.time() + self.item.get_expiry():
            self.storage.clear(self.counter)
            return time.time()
        return ends

    @property
    def used(self) -> int:
        return self.storage.get(self.counter) if self.ends > time.time() else 0

    def take(self, cost: int) -> None:
        """Raises RateLimitError, taking nothing, where ``cost`` does not fit."""
        used, most = self.used, self.item.amount
        if used + cost > most:
            wait = None if cost > most else max(1, math.ceil(self.ends - time.time()))
            advice = f"a request may need at most {most}" if wait is None else f"try again in {wait} s"
            raise RateLimitError(
                f"{self.kind} per minute of {self.key.name!r}: limit {most}, used {used}, needed {cost}; {advice}",
                self.kind,
                wait,
            )
        self.add(cost)

    def add(self, cost: int) -> None:
        self.storage.incr(self.counter, self.item.get_expiry(), cost)

    def give_back(self, cost: int, window_end: float) -> None:
        """Nothing where that window is over: the next one has not been charged."""
        if cost and self.ends == window_end:
            self.storage.decr(self.counter, cost)

    def headers(self) -> list[tuple[bytes, bytes]]:
        left = max(0, self.item.amount - self.used)
        values = {"limit": str(self.item.amount), "remaining": str(left), "reset": duration(self.ends - time.time())}
        return [(f"x-ratelimit-{name}-{self.kind}".encode(), value.encode()) for name, value in values.items()]


class Allowance:
    """What one HTTP request may take of its key's limits, and what it has taken."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        self._windows = windows
        self._tokens = next((window for window in windows if window.kind == "tokens"), None)
        self._reserved: int | None = None
        self._window_end = 0.0
        self.spent = 0

    def take_request(self) -> None:
        for window in self._windows:
            if window.kind == "requests":
                window.take(1)

    def reserve(self, tokens: int) -> None:
        if self._tokens is not None:
            self._tokens.take(tokens)
            self._reserved, self._window_end = tokens, self._tokens.ends

    def reconcile(self) -> None:
        """Replace what was reserved by what was ``spent``; once, when the request has ended."""
        if self._tokens is None or self._reserved is None:
            return
        if self.spent > self._reserved:
            self._tokens.add(self.spent - self._reserved)
        else:
            self._tokens.give_back(self._reserved - self.spent, self._window_end)
        self._reserved = None

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [header for window in self._windows for header in window.headers()]


def duration(seconds: float) -> str:
    """As OpenAI writes it: ``59.2s``, ``120ms``, ``1m0s``."""
    milliseconds = max(0, round(seconds * 1000))
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:g}s"
    return f"{milliseconds // 60_000}m{milliseconds % 60_000 / 1000:g}s"
