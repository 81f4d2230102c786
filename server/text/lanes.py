"""Runs work on text on threads, so that neither streams nor other prompts wait for a long text.

Short texts take well under a millisecond and are done at once, on the event loop. Longer ones go to one of two
threads, by size: a megabyte takes a second, and a prompt of some pages must not stand behind it. Tokenizers work
without the interpreter's lock, templates with it, so those slow the event loop down but do not stop it.

Each thread takes a bounded number of waiting texts; beyond it clients are told to come again. If the client has left,
its work is not begun. Work that has begun cannot be stopped and keeps its thread until its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from server.errors import TextsWaitingError

SHORT = 8192  # characters, or tokens to decode
LONG = 2**17
WAITING = 64  # each of them at most a tenth of a second
LONG_WAITING = 8  # each of them at most a few seconds

T = TypeVar("T")


class Lane:
    """One thread, for which at most ``most`` texts wait."""

    def __init__(self, name: str, most: int) -> None:
        self._most = most
        self._waiting = 0
        self._free = asyncio.Lock()  # held until the thread is done, even if nobody waits for the result
        self._name = name
        self._thread: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` gives; raises TextsWaitingError. If cancelled before its turn, it never begins."""
        if self._free.locked() and self._waiting >= self._most:
            raise TextsWaitingError(self._waiting)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        loop = asyncio.get_running_loop()

        def free(_: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._free.release)

        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self._name)
        done = self._thread.submit(work)
        done.add_done_callback(free)
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """End the thread; the next text starts another."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None


class TextLanes:
    def __init__(self) -> None:
        self._medium = Lane("text", WAITING)
        self._long = Lane("long-text", LONG_WAITING)

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """What ``work`` on a text of ``size`` characters (or tokens) gives.

        Raises:
            TextsWaitingError: too many wait already. Whatever ``work`` raises is raised.
        """
        if size < SHORT:
            return work()
        return await (self._medium if size < LONG else self._long).run(work)

    def close(self) -> None:
        self._medium.close()
        self._long.close()
