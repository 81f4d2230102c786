"""The engine's side of grammars that are compiled and followed in processes of their own (``grammar/parent.py``).

There is one process per request: if it crashes, takes too long or too much memory, only that request fails. It ends
with the request's last matcher, or when the request is aborted. A step costs a round trip of some 50 µs more than in
this process; the next mask is computed while the engine does other work.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from mavis_core.grammar.compiler import Vocabulary
from mavis_core.grammar.matcher import Matcher
from mavis_core.grammar.steps import Steps
from mavis_core.grammar.wire import (
    ACCEPTS,
    ADVANCE,
    CALL,
    COMPLETE,
    COPY,
    END,
    ERROR,
    EXHAUSTED,
    FAILED,
    FORK,
    ORDER,
    REFUSED,
    REPLY,
    Limits,
    Line,
)

log = logging.getLogger(__name__)

# The kernel limits CPU seconds; these bound a process that waits instead, which none should.
START_SECONDS, COMPILE_SECONDS, STEP_SECONDS = 60.0, 60.0, 20.0
# With a heap for each thread, glibc asks for memory page by page once the limit is near, which takes for ever.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
PACKAGES = str(Path(__file__).parents[2])
TOO_COMPLEX = "it takes too much time or memory; make it simpler"


class GrammarProcesses:
    """Starts grammar processes, from any thread; their parent is started with the first, and again if it has ended.

    Args:
        vocabulary: called when the parent is started; raises InvalidRequestError where structures cannot be served.
        limits: what every structure may cost.
    """

    def __init__(self, vocabulary: Callable[[], Vocabulary], limits: Limits | None = None) -> None:
        self._vocabulary = vocabulary
        self._limits = limits or Limits()
        self._lock = Lock()
        self._parent: Parent | None = None

    def start(self, structure: Structure) -> GrammarProcess:
        """Begin to compile a structure; raises InvalidRequestError where structures cannot be served at all."""
        with self._lock:
            if self._parent is None or self._parent.ended:
                self._parent = Parent(self._vocabulary(), self._limits)
            return GrammarProcess(self._parent, structure)

    def close(self) -> None:
        """End all processes; matchers still in use fail."""
        with self._lock:
            if self._parent is not None:
                self._parent.close()
                self._parent = None


class Parent:
    """The process that grammar processes are forked from."""

    def __init__(self, vocabulary: Vocabulary, limits: Limits) -> None:
        self._orders, theirs = socket.socketpair()
        self._numbers = itertools.count()
        self._lock = Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mavis_core.grammar.parent", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([PACKAGES, *filter(None, sys.path)])} | ONE_HEAP,
            )
        self.close = weakref.finalize(self, _close, self._orders, self._process)
        self.eos = self._introduce(vocabulary, limits)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def _introduce(self, vocabulary: Vocabulary, limits: Limits) -> list[int]:
        """Send the vocabulary and the limits; returns the stop tokens as the library knows them."""
        told = [vocabulary.source, vocabulary.size, vocabulary.stop_token_ids, asdict(limits)]
        pipe: Connection[bytes, bytes] = Connection(os.dup(self._orders.fileno()))
        try:
            pipe.send_bytes(json.dumps(told).encode())
            answer = json.loads(pipe.recv_bytes()) if pipe.poll(START_SECONDS) else {}
        except (EOFError, OSError):
            answer = {}
        finally:
            pipe.close()
        if "eos" not in answer:
            self.close()
            log.error("the grammar process did not start")
            raise InvalidRequestError(
                answer.get("error", "structure: the grammar library did not start; see the log"), "structure"
            )
        eos: list[int] = answer["eos"]
        return eos

    def fork(self) -> tuple[int, Line]:
        number = next(self._numbers)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._order(FORK, number, [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise InvalidRequestError("structure: the grammar process is gone; try again", "structure") from error
        return number, Line(ours)

    def end(self, number: int) -> None:
        with contextlib.suppress(OSError):  # the parent has ended, and its children end when their sockets close
            self._order(END, number, [])

    def _order(self, what: bytes, number: int, descriptors: list[int]) -> None:
        with self._lock:
            socket.send_fds(self._orders, [ORDER.pack(what, number)], descriptors)


def _close(orders: socket.socket, process: subprocess.Popen[bytes]) -> None:
    orders.close()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class GrammarProcess:
    """The process of one structure, which ends with its last matcher or by ``end``."""

    def __init__(self, parent: Parent, structure: Structure) -> None:
        self._structure, self._eos = structure, parent.eos
        number, self._line = parent.fork()
        self.end: Callable[[], object] = weakref.finalize(self, parent.end, number)
        self._numbers = itertools.count(1)
        self._replies: dict[int, tuple[int, bytes]] = {}
        self._send(json.dumps([structure.kind, structure.source]).encode())

    def matcher(self) -> Matcher:
        """Wait for the matcher at the start of an answer; call once.

        Raises:
            InvalidRequestError: with param "structure".
        """
        flags, content = self.reply(0, COMPILE_SECONDS)
        if flags & FAILED:
            log.error("compiling a %s failed: %s", self._structure.kind, content.decode())
            raise InvalidRequestError(
                f"structure: {self._structure.kind}: the grammar library failed on it", "structure"
            )
        if flags & REFUSED:
            raise InvalidRequestError(*json.loads(content))
        if flags & ERROR:
            raise InvalidRequestError(f"structure: {self._structure.kind}: {content.decode()}", "structure")
        return Matcher(RemoteSteps(self, 0, flags, content), self._eos)

    def call(self, what: bytes, number: int, operand: int) -> None:
        self._send(CALL.pack(what, number, operand))

    def copy(self, number: int) -> int:
        """Copy a place; the number of the copy."""
        made = next(self._numbers)
        self.call(COPY, number, made)
        return made

    def reply(self, number: int, seconds: float = STEP_SECONDS) -> tuple[int, bytes]:
        """The next reply about a place: flags, and bits or a message."""
        while number not in self._replies:
            try:
                found = self._line.receive(seconds)
            except TimeoutError:
                self.end()
                return ERROR, TOO_COMPLEX.encode()
            except (EOFError, OSError):  # it was ended, by the kernel or by an abort
                return ERROR, TOO_COMPLEX.encode()
            place, flags = REPLY.unpack_from(found)
            self._replies[place] = flags, found[REPLY.size :]
        return self._replies.pop(number)

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # the process has ended, which ``reply`` reports
            self._line.send(message)


class RemoteSteps:
    """``Steps`` taken in another process; the reply to the last step is read when it is needed."""

    def __init__(self, process: GrammarProcess, number: int, flags: int, bits: bytes) -> None:
        self._process, self._number = process, number
        self._flags, self._bits = flags, bits
        self._error: str | None = None
        self._asked = False

    @property
    def error(self) -> str | None:
        self._await_reply()
        return self._error

    @property
    def complete(self) -> bool:
        self._await_reply()
        return bool(self._flags & COMPLETE)

    @property
    def exhausted(self) -> bool:
        self._await_reply()
        return bool(self._flags & EXHAUSTED)

    def bits(self) -> bytes:
        self._await_reply()
        return self._bits

    def advance(self, token: int) -> None:
        self._await_reply()
        self._process.call(ADVANCE, self._number, token)
        self._asked = True

    def accepts(self, token: int) -> bool:
        self._await_reply()
        self._process.call(ACCEPTS, self._number, token)
        return self._process.reply(self._number)[0] == 1

    def copy(self) -> Steps:
        self._await_reply()
        return RemoteSteps(self._process, self._process.copy(self._number), self._flags, self._bits)

    def _await_reply(self) -> None:
        """Read the reply to the last step; after an error the old bits stay, because their length is needed."""
        if not self._asked:
            return
        self._asked = False
        flags, content = self._process.reply(self._number)
        if flags & ERROR:
            self._flags, self._error = flags & ~COMPLETE, content.decode()
        else:
            self._flags, self._bits = flags, content
