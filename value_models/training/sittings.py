"""``report.json``: what each step of a run did, and what it cost in all the sittings that it took.

A sitting is a process that works at a step. Its seconds are added as they pass, every few of them, so that one that was
killed or that failed counts too; what it did is added when it comes to its end. Seconds are those of a clock and those
of processors, which other programs do not lengthen; memory is the most that a process had taken by then, what earlier
steps of the same process took included.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from mavis_core.api.errors import RunError
from value_models import durable

BEAT = 5.0
"""Seconds between two entries, and so what a kill leaves out at most."""


def peak_memory() -> int:
    """Bytes that this process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Sitting:
    """Work at one step: a context manager.

    Args:
        report: the file.
        step: its name there.
    """

    def __init__(self, report: Path, step: str) -> None:
        self._report, self._step = report, step
        self._figures: dict[str, Any] = {}
        self._worked = True
        self._over = threading.Event()
        self._failed: RunError | None = None

    def __enter__(self) -> Sitting:
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        self._before: dict[str, Any] = self._read().get(self._step, {})
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def done(self, figures: dict[str, Any], worked: bool = True) -> None:
        """The step is at its end; one that found everything there (``worked`` False) leaves the report as it was."""
        self._figures = {**self._figures, **figures}
        self._worked = worked or not self._before

    def foresee(self, forecast: dict[str, Any]) -> None:
        """Keep what was foreseen before the step began; of a step that goes on, what was foreseen first stays."""
        self._figures = {"forecast": self._before.get("forecast", forecast)}

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        if error is not None and time.perf_counter() - self._began < BEAT:
            return  # refused, rather than interrupted
        if self._worked:
            self._write(self._entry())
        elif self._read().get(self._step) != self._before:
            self._write(self._before)
        if self._failed is not None and error is None:
            raise self._failed

    def _entry(self) -> dict[str, Any]:
        seconds = self._before.get("seconds", 0.0) + time.perf_counter() - self._began
        sittings = self._before.get("sittings", int(bool(self._before))) + 1
        cpu = self._before.get("cpu_seconds", 0.0) + time.process_time() - self._cpu_began
        memory = max(self._before.get("memory_gb", 0.0), peak_memory() / 1e9)
        spent = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "memory_gb": round(memory, 2)}
        return {**self._before, **self._figures, **spent, "sittings": sittings}

    def _beat(self) -> None:
        try:
            while not self._over.wait(BEAT):
                self._write(self._entry())
        except RunError as error:  # a full disk is told when the sitting ends, if nothing else tells it before
            self._failed = error

    def _read(self) -> dict[str, Any]:
        return durable.read_json(self._report) if self._report.exists() else {}

    def _write(self, entry: dict[str, Any]) -> None:
        durable.write_json(self._report, {**self._read(), self._step: entry})
