"""The engine on a thread of this process: no message is copied, but it and the event loop share one GIL."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from mavis_core.api.errors import EngineUnavailableError
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.process.engine_loop import Dead, Inbox, LoadProgress, run_engine
from mavis_core.process.queue_client import CLOSE_SECONDS, QueueClient

if TYPE_CHECKING:
    from mavis_core.engine import Engine


class EngineThread(QueueClient):
    """An ``EngineClient`` over an engine that is built and run on a thread; see ``QueueClient``."""

    _engine: Engine | None = None
    _thread: threading.Thread | None = None

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise EngineUnavailableError(self._why)
        return self._engine

    @property
    def tokenizer(self) -> Tokenizer:
        if (tokenizer := self.engine.tokenizer) is None:
            raise EngineUnavailableError("this engine has no tokenizer")
        return tokenizer

    def _keep(self, report: LoadProgress) -> Engine:
        self._engine = self._build(report)
        return self._engine

    @property
    def stopped(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def _start(self) -> None:
        self._engine = None  # if the last one died, its memory is freed first
        self._thread = threading.Thread(target=self._run_engine, args=(self._inbox,), name="mavis-engine", daemon=True)
        self._thread.start()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    # Below here: the engine's thread.

    def _run_engine(self, inbox: Inbox) -> None:
        try:
            run_engine(self._keep, inbox, partial(self._post, inbox))
        finally:
            self._post(inbox, Dead("the engine's thread has ended"))  # whatever ended it; a reason given before stays
