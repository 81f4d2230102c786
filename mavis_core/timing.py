"""Where a step's time goes, on the device's own clock.

On a GPU a host clock would time the launches, so CUDA events are recorded. They can be read once the device has reached
them, which the step's one sync ensures. A step that only prefills has no sync, so reading waits for the later event.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class StepTimer:
    """Seconds of named stages of one step."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._stages: dict[str, tuple[Any, Any]] = {}  # start and end: CUDA events, or seconds on a CPU

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as stage ``name``."""
        start = self._now()
        yield
        self._stages[name] = start, self._now()

    def seconds(self, name: str) -> float:
        """Seconds of a stage, 0 if the step did not have it; waits for the device if the step has not."""
        if name not in self._stages:
            return 0.0
        start, stop = self._stages[name]
        if not self._cuda:
            return float(stop - start)
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1000

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
