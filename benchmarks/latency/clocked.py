"""An engine whose tokens are timed when the step that drew them returns, as the loop of a server would have them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from mavis_core.api.messages import Request
from mavis_core.engine import Engine


@dataclass(slots=True)
class Timeline:
    """When a request arrived and each of its tokens was there, in seconds of one clock."""

    arrived: float
    tokens: list[float] = field(default_factory=list)
    finished: bool = False

    @property
    def to_first(self) -> float:
        """Time to first token."""
        return self.tokens[0] - self.arrived

    def gaps(self, after: float = float("-inf"), until: float = float("inf")) -> list[float]:
        """Times between neighbouring tokens, of which the later one came in (after, until]."""
        return [b - a for a, b in pairwise(self.tokens) if after < b <= until]


class Clocked:
    """Drives ``engine``, which must be idle; each request has one choice."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.timelines: dict[str, Timeline] = {}

    def add(self, request: Request, arrived: float | None = None) -> Timeline:
        """Hand a request over that arrived now, or did while a step was running."""
        self._engine.add(request)
        timeline = self.timelines[request.id] = Timeline(time.perf_counter() if arrived is None else arrived)
        return timeline

    def step(self) -> list[str]:
        """Run a step; the ids of requests that it finished."""
        outputs = self._engine.step()
        now = time.perf_counter()
        ended = []
        for output in outputs:
            assert output.error is None, output.error
            timeline = self.timelines[output.request_id]
            timeline.tokens += [now] * sum(len(delta.token_ids) for delta in output.deltas)
            if output.finished:
                timeline.finished = True
                ended.append(output.request_id)
        return ended

    @property
    def busy(self) -> bool:
        return self._engine.has_work

    def leave(self) -> None:
        """Drop what is left, so that the next measurement finds an idle engine."""
        for id, timeline in self.timelines.items():
            if not timeline.finished:
                self._engine.abort(id)


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    p50, p99 = np.percentile(list(seconds), (50, 99))
    return {"p50_ms": round(1000 * float(p50), 2), "p99_ms": round(1000 * float(p99), 2)}
