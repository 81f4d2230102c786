"""Where a step's time goes, on the device's own clock.

On a GPU a host clock would time the launches, so CUDA events are recorded and read after the step's one sync.
"""

from __future__ import annotations

import time

import torch


class StepTimer:
    """Seconds between marks; read after the step's sync."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: dict[str, float | torch.cuda.Event] = {}

    def mark(self, name: str) -> None:
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks[name] = event
        else:
            self._marks[name] = time.perf_counter()

    def seconds(self, start: str, stop: str) -> float:
        """Seconds from mark to mark, 0 where one is missing."""
        first, last = self._marks.get(start), self._marks.get(stop)
        if first is None or last is None:
            return 0.0
        if isinstance(first, torch.cuda.Event) and isinstance(last, torch.cuda.Event):
            return float(first.elapsed_time(last)) / 1000
        assert isinstance(first, float) and isinstance(last, float)
        return last - first
