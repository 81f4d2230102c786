"""A row that cannot go on, and the guard that keeps its failure from other rows. Torch-free.

What the host does for one row at a time (its grammar, its text, its statistics, its log-probabilities) it does inside
``alone``: what goes wrong there ends the row's own request, never the step that it shares with others.
"""

from __future__ import annotations

import logging
from types import TracebackType

from mavis_core.schedule.row import Row, RowFault

log = logging.getLogger(__name__)

NOT_FINITE = "the model gave numbers that are not finite (NaN or infinity) for this request"


class alone:
    """``with alone(row, "decoding its text"):`` whatever is raised inside becomes the row's fault; the first one stays.

    That includes a panic of a library written in Rust, which is no ``Exception``; only the end of the process passes.
    """

    __slots__ = ("_row", "_stage")

    def __init__(self, row: Row, stage: str) -> None:
        self._row = row
        self._stage = stage

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if error is None or isinstance(error, (KeyboardInterrupt, SystemExit)):
            return False
        log.error("request %s failed alone, %s", self._row.request.id, self._stage, exc_info=error)
        if self._row.fault is None:
            self._row.fault = RowFault(f"the engine failed this request {self._stage}: {type(error).__name__}")
        return True
