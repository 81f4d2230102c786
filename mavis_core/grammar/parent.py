"""The program that compiles and follows grammars: a process for each structure, which can be ended. Torch-free.

llguidance's limits do not hold for everything (``grammar/compiler.py``), a thread inside it cannot be stopped, and its
memory is that of the process. So the engine starts ``python -m mavis_core.grammar.parent``, which loads the library and
the vocabulary once and then forks a child for every structure, in milliseconds. The kernel limits a child's memory, and
its CPU seconds for compiling and for each step: a child that exceeds them ends, and only its own request fails.

This process has a single thread when it forks. It ends, with all children, when the engine's end of its socket closes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from mavis_core.grammar.compiler import Vocabulary, start
from mavis_core.grammar.deep_stack import STACK_BYTES, call_deep
from mavis_core.grammar.steps import OwnSteps, Steps
from mavis_core.grammar.wire import (
    ACCEPTS,
    CALL,
    COMPLETE,
    COPY,
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

if TYPE_CHECKING:
    from llguidance import LLTokenizer


log = logging.getLogger(__name__)

NICE = 5  # the engine and the event loop, which serve everybody, need the same cores and go first


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # this process ends when the other end of the socket closes
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s (grammar process): %(message)s")
    orders = socket.socket(fileno=int(sys.argv[1]))
    pipe: Connection[bytes, bytes] = Connection(os.dup(orders.fileno()))
    source, size, stops, limits = json.loads(pipe.recv_bytes())
    try:
        tokenizer = Vocabulary(source, size, tuple(stops)).load()
    except InvalidRequestError as error:
        pipe.send_bytes(json.dumps({"error": str(error)}).encode())
        return
    pipe.send_bytes(json.dumps({"eos": tokenizer.eos_tokens}).encode())
    pipe.close()
    del source
    import llguidance.gbnf_to_lark  # noqa: F401  # imported once for all children, before the first structure needs it

    gc.collect()
    gc.freeze()  # otherwise garbage collection in a child would copy all of the memory
    _serve(orders, tokenizer, Limits(**limits))


def _serve(orders: socket.socket, tokenizer: LLTokenizer, limits: Limits) -> None:
    children: dict[int, int] = {}
    try:
        while (order := _order(orders)) is not None:
            what, number, descriptor = order
            if what == FORK:
                assert descriptor is not None
                try:
                    pid = os.fork()
                    if pid == 0:
                        orders.close()
                        _child(Line(socket.socket(fileno=descriptor)), tokenizer, limits)
                    children[number] = pid
                except OSError as error:  # too many processes: its socket closes, which ends this one request
                    log.error("no process for a grammar: %s", error)
                os.close(descriptor)
            elif (known := children.pop(number, None)) is not None:
                _end(known)
    finally:
        for pid in children.values():
            _end(pid)


def _order(orders: socket.socket) -> tuple[bytes, int, int | None] | None:
    data, descriptors = b"", []
    while len(data) < ORDER.size:
        more, found, _, _ = socket.recv_fds(orders, ORDER.size - len(data), 1)
        if not more:
            return None
        data += more
        descriptors += found
    what, number = ORDER.unpack(data)
    return what, number, descriptors[0] if descriptors else None


def _end(pid: int) -> None:
    """Kill a child; it was not waited for before, so no other process can have its id."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


# Below here: a child.


def _child(line: Line, tokenizer: LLTokenizer, limits: Limits) -> None:
    status = 1
    try:
        os.nice(NICE)
        _limit_memory(limits.memory_bytes)
        call_deep(lambda: _follow(line, tokenizer, limits))
        status = 0
    except (EOFError, OSError):
        status = 0  # the engine has closed its end
    except BaseException:
        log.exception("a grammar process failed")
    finally:
        os._exit(status)


def _limit_memory(more: int) -> None:
    """Allow ``more`` bytes beyond the present size and the stack, where the system tells the present size."""
    with contextlib.suppress(FileNotFoundError), open("/proc/self/statm") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + STACK_BYTES + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _follow(line: Line, tokenizer: LLTokenizer, limits: Limits) -> None:
    kind, source = json.loads(line.receive())
    places: dict[int, Steps] = {}
    with limited(limits.compile_seconds):
        try:
            places[0] = OwnSteps(start(tokenizer, Structure(kind, source)))
        except InvalidRequestError as error:
            return _reply(line, 0, REFUSED, json.dumps([str(error), error.param]).encode())
        except BaseException as error:  # a panic of the library is no Exception
            return _reply(line, 0, FAILED, f"{type(error).__name__}: {error}".encode())
        reply = _place(places[0])
    _reply(line, 0, *reply)
    while True:
        what, number, token = CALL.unpack(line.receive())
        steps = places[number]
        if what == COPY:
            places[token] = steps.copy()
            continue
        with limited(limits.step_seconds):
            if what == ACCEPTS:
                reply = (int(steps.accepts(token)), b"")
            else:
                steps.advance(token)
                reply = _place(steps)
        _reply(line, number, *reply)


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End the process, by SIGPROF, if the block takes more CPU seconds than this."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)


def _place(steps: Steps) -> tuple[int, bytes]:
    bits = steps.bits() if steps.error is None else b""
    if (error := steps.error) is not None:
        return ERROR, error.encode()
    return COMPLETE * steps.complete | EXHAUSTED * steps.exhausted, bits


def _reply(line: Line, number: int, flags: int, content: bytes) -> None:
    line.send(REPLY.pack(number, flags) + content)


if __name__ == "__main__":
    main()
