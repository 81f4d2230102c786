"""What tests run in a process of its own, free of torch so that it starts at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mavis_core.api.errors import LoadError


def refuse(report: Callable[[str, float], None]) -> Any:
    report("reading", 0.5)
    raise LoadError("value.json: kind='x': must be y")


def hang(report: Callable[[str, float], None]) -> Any:
    report("hanging", 0.1)
    time.sleep(600)


def slow_engine(folder: str, report: Callable[[str, float], None]) -> Any:
    """An engine whose answers last long enough to be interrupted."""
    from mavis_core.api.config import EngineConfig
    from value_models.loading import build_engine

    engine: Any = build_engine(folder, [], EngineConfig(block_size=4, device="cpu"), report)
    step = engine.step

    def slowly() -> object:
        time.sleep(0.02)
        return step()

    engine.step = slowly
    return engine
