"""The engine in a spawned process of its own, so that it and the event loop never share a GIL.

One pipe carries the frozen messages: requests and aborts in, the loop's events out. Each end has a thread that empties
the pipe at once, so neither the event loop nor a step ever waits for it. The parent's thread also watches the child: if
it is killed (SIGKILL, out of memory), every request in flight fails at once. The child's thread ends the process when
the pipe closes, which is how a child learns that its parent is gone. The parent handles signals: the child ignores
SIGINT and SIGTERM, so that a drain can finish.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from mavis_core.api.errors import EngineUnavailableError
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.process import pickled
from mavis_core.process.engine_loop import Build, Dead, Inbox, Ready, run_engine
from mavis_core.process.queue_client import CLOSE_SECONDS, QueueClient

if TYPE_CHECKING:
    Pipe = Connection[Any, Any]

log = logging.getLogger(__name__)


class EngineProcess(QueueClient):
    """An ``EngineClient`` over an engine that is built and run in a child process; see ``QueueClient``.

    ``build`` is sent to the child, so it must be picklable, as ``partial(build_engine, model, values, config)`` is.
    """

    _tokenizer: Tokenizer | None = None
    _process: BaseProcess | None = None
    _listener: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, None before ``start``."""
        return None if self._process is None else self._process.pid

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            raise EngineUnavailableError(self._why if self._info is None else "this engine has no tokenizer")
        return self._tokenizer

    @property
    def stopped(self) -> bool:
        return self._listener is None or not self._listener.is_alive()  # it outlives the process

    def _start(self) -> None:
        if self._process is not None:  # the last child, which is dead
            atexit.unregister(self._process.kill)
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_child, args=(self._build, theirs, logging.root.level), name="mavis-engine"
        )
        self._process.start()
        theirs.close()  # the child's copy is the only one now: its end closes the pipe
        atexit.register(self._process.kill)  # multiprocessing would wait at exit for one that was never closed
        threading.Thread(target=self._send, args=(ours, self._inbox), name="mavis-engine-in", daemon=True).start()
        self._listener = threading.Thread(
            target=self._listen, args=(ours, self._process, self._inbox), name="mavis-engine-out", daemon=True
        )
        self._listener.start()
        threading.Thread(target=_import_tokenizers, daemon=True).start()  # takes seconds, so while the child loads

    def _join(self) -> None:
        if self._process is None or self._listener is None:
            return
        self._listener.join(CLOSE_SECONDS if self._ready.is_set() else 0.0)  # loading cannot be interrupted
        if self._listener.is_alive():
            self._process.kill()
            self._listener.join(CLOSE_SECONDS)
        atexit.unregister(self._process.kill)

    # Below here: threads of the parent.

    def _send(self, pipe: Pipe, inbox: Inbox) -> None:
        with contextlib.suppress(OSError):  # the child is gone, which the listener reports
            while (message := inbox.get()) is not None:
                pipe.send(message)
            pipe.send(None)

    def _listen(self, pipe: Pipe, process: BaseProcess, inbox: Inbox) -> None:
        try:
            self._hand_on(pipe, process, inbox)
        except Exception as error:
            if not isinstance(error, EOFError | OSError):  # those say that it has ended
                log.exception("what the engine process says cannot be read")
        process.join(1.0)
        process.kill()  # nothing to one that has ended; one that only closed its end has nothing more to say
        process.join()
        why = f"the engine process {_end(process.exitcode)}"
        if self._state != "dead" and inbox is self._inbox:
            log.error(why)
        self._post(inbox, Dead(why))

    def _hand_on(self, pipe: Pipe, process: BaseProcess, inbox: Inbox) -> None:
        while pipe in wait([pipe, process.sentinel]):
            event = pipe.recv()
            if isinstance(event, Ready) and event.tokenizer_source is not None:
                try:
                    self._tokenizer = _load_tokenizer(event.tokenizer_source)
                except Exception as error:
                    log.exception("loading the tokenizer failed")
                    event = Dead(f"loading failed: {error}")
            self._post(inbox, event)


def _import_tokenizers() -> None:
    from transformers import AutoTokenizer  # noqa: F401


def _load_tokenizer(source: str) -> Tokenizer:
    from transformers import AutoTokenizer

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    return tokenizer


def _end(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (" (out of memory is the usual cause)" if name == "SIGKILL" else "")


# Below here: the child.


def _child(build: Build, pipe: Pipe, log_level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.basicConfig(level=log_level, format="%(levelname)s %(name)s (engine process): %(message)s")
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    pickled.register()
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        run_engine(build, inbox, pipe.send)


def _receive(pipe: Pipe, inbox: Inbox) -> None:
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(1)  # without a parent there is nobody to work for, nor to tell
