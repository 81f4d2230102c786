"""Where a step's time goes, on the device's own clock.

On a GPU a host clock would time the launches, so CUDA events are recorded. They can be read once the device has passed
them, which the step's one sync sees to; a step that only prefills has none, so whoever reads waits for the later event.
"""

from __future__ import annotations

import time

import torch


class StepTimer:
    """Seconds between marks; reading waits for the device where the step has not done so."""

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
            last.synchronize()
            return float(first.elapsed_time(last)) / 1000
        assert isinstance(first, float) and isinstance(last, float)
        return last - first
