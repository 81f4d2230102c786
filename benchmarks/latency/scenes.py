"""The situations that latency is measured in. Each takes an idle engine and leaves it idle."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from benchmarks.comparison.prompts import prompts
from benchmarks.comparison.rounds import quotient
from benchmarks.latency.clocked import Clocked, Timeline, percentiles
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine


@dataclass(frozen=True, slots=True)
class Asking:
    """Requests of one kind: prompts of ``prompt`` tokens, ``tokens`` new ones, all guided alike."""

    vocab: int
    prompt: int
    tokens: int
    guidance: Guidance

    def request(self, id: str, number: int) -> Request:
        """Another ``number`` has another prompt and seed."""
        (prompt,) = prompts(1, self.prompt, self.vocab, start=number)
        sampling = SamplingParams(max_tokens=self.tokens, ignore_eos=True, seed=number)
        return Request(id, tuple(prompt), sampling, self.guidance)


def long_prompt(engine: Engine, asking: Asking, rows: int, length: int, rounds: int) -> dict[str, Any]:
    """A prompt of ``length`` tokens arrives while ``rows`` rows decode: their gaps before it and while it is read."""
    engine.forget_prefixes()
    before: list[list[float]] = []
    during: list[list[float]] = []
    first: list[float] = []
    steps: list[int] = []
    lasting = replace(asking, tokens=2 * asking.tokens + length // 2)
    for turn in range(rounds):
        clocked = Clocked(engine)
        decoding = [clocked.add(lasting.request(f"row {i}", i)) for i in range(rows)]
        while min(len(row.tokens) for row in decoding) < asking.tokens:
            clocked.step()
        arrives = time.perf_counter()
        late = clocked.add(replace(asking, prompt=length).request("long", rows + turn), arrives)
        taken = 0
        while not late.tokens:
            clocked.step()
            taken += 1
        steps.append(taken)
        assert not any(row.finished for row in decoding)
        clocked.leave()
        before.append(_gaps(decoding, after=max(row.tokens[0] for row in decoding), until=arrives))
        during.append(_gaps(decoding, after=arrives, until=late.tokens[0]))
        first.append(late.to_first)
        engine.forget_prefixes()
    worst, middle = [percentiles(each)["p99_ms"] for each in during], [percentiles(each)["p50_ms"] for each in before]
    return {
        "rows": rows,
        "long_prompt": length,
        "before": percentiles(chain(*before)),
        "during": percentiles(chain(*during)),
        "steps_during": statistics.median(steps),
        "p99 during / p50 before": quotient(worst, middle),
        "long_prompt_to_first_ms": round(1000 * statistics.median(first), 1),
    }


def _gaps(rows: list[Timeline], after: float = float("-inf"), until: float = float("inf")) -> list[float]:
    return [gap for row in rows for gap in row.gaps(after, until)]


def shared_prefix(engine: Engine, asking: Asking, shared: int, rounds: int) -> dict[str, Any]:
    """Two prompts that share their first ``shared`` tokens, one after the other: time to first token of each."""
    first, second = [], []
    for turn in range(rounds + 1):
        engine.forget_prefixes()
        times = [_alone(engine, asking, shared, ending) for ending in (2 * turn, 2 * turn + 1)]
        if turn:  # the first is there to warm up
            first.append(times[0])
            second.append(times[1])
    return {
        "shared_tokens": shared,
        "first_ms": round(1000 * statistics.median(first), 2),
        "second_ms": round(1000 * statistics.median(second), 2),
        "first / second": quotient(first, second),
    }


def _alone(engine: Engine, asking: Asking, shared: int, ending: int) -> float:
    """Seconds to the first token of the shared beginning with an ending of its own."""
    clocked = Clocked(engine)
    (beginning,) = prompts(1, shared, asking.vocab)
    own = replace(asking, prompt=8, tokens=1).request("alone", ending + 1)
    timeline = clocked.add(replace(own, prompt_token_ids=(*beginning, *own.prompt_token_ids)))
    while clocked.busy:
        clocked.step()
    return timeline.to_first


def closed_load(engine: Engine, asking: Asking, clients: int, each: int) -> dict[str, Any]:
    """``clients`` that ask ``each`` requests one after the other."""
    engine.forget_prefixes()
    clocked = Clocked(engine)
    numbers = iter(range(clients * each))
    start = time.perf_counter()
    for _ in range(clients):
        _next(clocked, asking, numbers)
    while clocked.busy:
        for _ in clocked.step():
            _next(clocked, asking, numbers)
    return {"clients": clients, **_summary(clocked, time.perf_counter() - start)}


def _next(clocked: Clocked, asking: Asking, numbers: Iterator[int]) -> None:
    if (number := next(numbers, None)) is not None:
        clocked.add(asking.request(str(number), number))


def open_load(engine: Engine, asking: Asking, rate: float, requests: int) -> dict[str, Any]:
    """``requests`` arrivals of a Poisson process, ``rate`` per second, whether or not the engine keeps up."""
    engine.forget_prefixes()
    clocked, drawn = Clocked(engine), random.Random(0)
    due = start = time.perf_counter()
    number = 0
    while number < requests or clocked.busy:
        if number < requests and due <= time.perf_counter():
            clocked.add(asking.request(str(number), number), due)
            number, due = number + 1, due + drawn.expovariate(rate)
        elif clocked.busy:
            clocked.step()
        else:
            time.sleep(max(0.0, due - time.perf_counter()))
    return {"requests_per_s_offered": round(rate, 3), **_summary(clocked, time.perf_counter() - start)}


def _summary(clocked: Clocked, seconds: float) -> dict[str, Any]:
    timelines = clocked.timelines.values()
    return {
        "requests": len(timelines),
        "requests_per_s": round(len(timelines) / seconds, 3),
        "tokens_per_s": round(sum(len(each.tokens) for each in timelines) / seconds, 1),
        "to_first": percentiles(each.to_first for each in timelines),
        "between": percentiles(chain(*(each.gaps() for each in timelines))),
    }
