"""``mavis serve`` with the model that ships, as its own process, once per run."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from scripts import served as served_process
from tests import forked_mavis


@dataclass
class Served:
    url: str
    process: served_process.Process

    def metric(self, name: str) -> float:
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        found = re.search(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        assert found is not None, f"no metric {name}"
        return float(found[1])

    def wait_for(self, name: str, value: float, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.metric(name) != value:
            time.sleep(0.02)
        assert self.metric(name) == value

    def wait_idle(self, seconds: float = 20.0) -> None:
        """Until no row runs, waits or holds a KV block."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.idle():
            time.sleep(0.05)
        assert self.idle()

    def idle(self) -> bool:
        names = ("mavis:num_requests_running", "mavis:num_requests_waiting", "mavis:kv_cache_usage_perc")
        return all(self.metric(name) == 0 for name in names)


def start(*options: str) -> Served:
    server = served_process.start(*options)
    return Served(server.url, server.process)


def fork(*options: str) -> Served:
    server = forked_mavis.server(*options)
    return Served(server.url, server.process)


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    served = start("--max-num-seqs", "16", "--max-queue", "24")
    yield served
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(30) == 0


@pytest.fixture
def start_server() -> Iterator[Callable[..., Served]]:
    """Servers with other options, for tests that end them.

    They are forked, but for those that are started with ``whole=True``: as the command, from which they differ in how
    they start and end.
    """
    running: list[Served] = []

    def run(*options: str, whole: bool = False) -> Served:
        running.append(start(*options) if whole else fork(*options))
        return running[-1]

    yield run
    for served in running:
        served.process.kill()
        served.process.wait(30)
