"""Clients at work for so many seconds, and what they met."""

from __future__ import annotations

import collections
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from benchmarks.soak.traffic import ADMIN, FULL, OPEN, Kind

LIMIT_SECONDS = 60.0
MOST_PROBLEMS = 50


@dataclass
class Met:
    """Attributes:
    statuses: per kind, how many answers of each status; "0" is a client that left first.
    slowest: per kind, seconds of the slowest answer.
    problems: in words; the first fifty.
    """

    statuses: dict[str, collections.Counter[str]] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, status: int, seconds: float, problem: str | None) -> None:
        with self.lock:
            self.statuses.setdefault(kind, collections.Counter())[str(status)] += 1
            self.slowest[kind] = max(self.slowest.get(kind, 0.0), round(seconds, 3))
            if problem is not None and len(self.problems) < MOST_PROBLEMS:
                self.problems.append(problem)

    @property
    def requests(self) -> int:
        with self.lock:
            return sum(counts.total() for counts in self.statuses.values())


class Clients:
    """So many of them, from ``start`` until ``stop``, each with random numbers of its own.

    Args:
        key: what every second one sends; None: nothing.
        admin_key: what the others send, who also write presets, unload values and load them; None: as the rest.
    """

    def __init__(self, url: str, count: int, seed: int, key: str | None = None, admin_key: str | None = None) -> None:
        self.met = Met()
        self._url = url
        self._ending = threading.Event()
        self._threads = []
        for i in range(count):
            admin = i % 2 == 0 and admin_key is not None
            kinds = OPEN | ADMIN if admin else OPEN
            work = (random.Random(f"{seed}/{i}"), kinds, bearer(admin_key if admin else key))
            self._threads.append(threading.Thread(target=self._work, args=work, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Once each has its last answer."""
        self._ending.set()
        for thread in self._threads:
            thread.join(LIMIT_SECONDS + 30)
            if thread.is_alive():
                self.met.note("stop", 0, 0.0, "a client still waits for its answer")

    def _work(self, rng: random.Random, kinds: Mapping[Kind, int], headers: dict[str, str]) -> None:
        names, shares = list(kinds), list(kinds.values())
        with httpx.Client(base_url=self._url, timeout=LIMIT_SECONDS, headers=headers) as client:
            while not self._ending.is_set():
                kind = rng.choices(names, shares)[0]
                start = time.monotonic()
                try:
                    status, right = kind(client, rng)
                    problem = None if status == FULL or status in right else f"answered {status}, not {sorted(right)}"
                except httpx.HTTPError as error:
                    status, problem = 0, f"no answer: {error!r}"
                seconds = time.monotonic() - start
                self.met.note(kind.__name__, status, seconds, problem and f"{kind.__name__}: {problem}")


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


def state_of(url: str, headers: dict[str, str]) -> dict[str, float]:
    """Gauges that are 0 on a server with nothing to do."""
    text = httpx.get(f"{url}/metrics", headers=headers, timeout=30).text
    names = ("mavis:num_requests_running", "mavis:num_requests_waiting", "mavis:kv_cache_usage_perc")
    found = {line.split(" ")[0]: line.split(" ")[-1] for line in text.splitlines()}
    return {name: float(found[name]) for name in names}


def left_behind(url: str, headers: dict[str, str], seconds: float = 30.0) -> dict[str, float]:
    """What is not 0 after so many seconds without requests."""
    deadline = time.monotonic() + seconds
    while any(state_of(url, headers).values()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return {name: value for name, value in state_of(url, headers).items() if value}
