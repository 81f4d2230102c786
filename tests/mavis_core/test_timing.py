"""The step's clock on a GPU, with a stand-in for CUDA's events: torch refuses to read one that has not happened yet."""

from __future__ import annotations

import time

import pytest
import torch

from mavis_core.timing import StepTimer


class Event:
    """On a device that passes nothing before somebody waits for it; events are 2.5 seconds apart."""

    recorded: list[Event] = []  # noqa: RUF012

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.happened = False

    def record(self) -> None:
        self.recorded.append(self)

    def synchronize(self) -> None:
        for event in self.recorded[: self.recorded.index(self) + 1]:
            event.happened = True

    def elapsed_time(self, later: Event) -> float:
        if not (self.happened and later.happened):
            raise RuntimeError("Both events must be completed before calculating elapsed time")
        return 2500.0 * (self.recorded.index(later) - self.recorded.index(self))


def test_a_step_without_a_sync_can_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Event, "recorded", [])
    monkeypatch.setattr(torch.cuda, "Event", Event)
    timer = StepTimer(torch.device("cuda"))
    with timer.stage("policy"):
        pass
    assert timer.seconds("policy") == 2.5
    assert timer.seconds("value") == 0.0


def test_on_a_cpu_it_is_the_hosts_clock() -> None:
    timer = StepTimer(torch.device("cpu"))
    with timer.stage("policy"):
        time.sleep(0.01)
    assert 0.01 <= timer.seconds("policy") < 60
