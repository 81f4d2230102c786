"""The engine on a thread of this process: no copy of anything, but one GIL for it and the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import EngineUnavailableError
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.process.engine_loop import Build, Dead, Inbox, run_engine
from mavis_core.process.queue_client import CLOSE_SECONDS, LoadProgress, QueueClient
from mavis_core.search.scorer import SequenceScorer

if TYPE_CHECKING:
    from mavis_core.engine import Engine


class EngineThread(QueueClient):
    """An ``EngineClient`` over an engine that is built and run on a thread.

    Args:
        build: makes the engine, on the thread; reports (stage, fraction done).
        config, progress, scorer: see ``QueueClient``.
    """

    def __init__(
        self,
        build: Build,
        config: EngineConfig,
        progress: LoadProgress | None = None,
        scorer: SequenceScorer | None = None,
    ) -> None:
        super().__init__(config, progress, scorer)
        self._build = build
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None

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

    def _keep(self, report: Callable[[str, float], None]) -> Engine:
        self._engine = self._build(report)
        return self._engine

    @property
    def stopped(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def _start(self) -> None:
        self._engine = None  # one that died gives its memory back first
        self._thread = threading.Thread(target=self._run_engine, args=(self._inbox,), name="mavis-engine", daemon=True)
        self._thread.start()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    # Below here: the engine's thread.

    def _run_engine(self, inbox: Inbox) -> None:
        try:
            run_engine(self._keep, inbox, self._post)
        finally:
            self._post(Dead("the engine's thread has ended"))  # whatever ended it; a reason given before stays
