"""How long work on a device takes: medians of whole calls, or of replays of a CUDA graph that holds it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Callable[[], object], device: torch.device, times: int, warm: int = 2) -> float:
    """Median of ``times`` calls, after ``warm`` that are not counted; each waits for the device."""
    found = []
    for _ in range(times + warm):
        synchronize(device)
        start = time.perf_counter()
        run()
        synchronize(device)
        found.append(time.perf_counter() - start)
    return statistics.median(found[warm:])


def replayed_seconds(run: Callable[[], object], device: torch.device, calls: int, times: int) -> float:
    """Of one of ``calls`` calls that a CUDA graph holds, so that launching costs nothing; plain calls on a CPU."""
    if device.type != "cuda":
        return seconds(run, device, times, warm=0)
    run()
    synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            run()
    return seconds(graph.replay, device, times) / calls
