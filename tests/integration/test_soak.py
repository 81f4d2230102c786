"""Six seconds of ``benchmarks/soak`` against the server with the model that ships; and when memory counts as flat."""

from __future__ import annotations

import random

import httpx
import pytest

from benchmarks.soak.__main__ import soak
from benchmarks.soak.clients import Clients
from benchmarks.soak.flat import flatness
from benchmarks.soak.traffic import FULL, OPEN, Kind
from scripts import served as served_process
from tests.integration.conftest import Served


@pytest.mark.parametrize("kind", OPEN, ids=lambda kind: kind.__name__)
def test_each_kind_of_traffic_is_answered_as_it_says(served: Served, kind: Kind) -> None:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        for seed in range(2):
            status, right = kind(client, random.Random(seed))
            assert status in {*right, FULL}, seed
    served.wait_idle()


def test_mixed_traffic_leaves_nothing_behind(served: Served) -> None:
    port = httpx.URL(served.url).port
    assert port is not None
    clients = Clients(served.url, count=4, seed=1)
    found = soak(served_process.Served(port, served.process), clients, 6.0, {})
    problems = [problem for problem in found["problems"] if not problem.startswith("memory")]  # six seconds say nothing
    assert problems == []
    assert found["left_behind"] == {}
    assert found["requests"] > 0
    assert found["health"]["asked"] > 0


def test_memory_that_only_fluctuates_is_flat() -> None:
    found = flatness([(10.0 * i, 500.0 + 300 * (i < 12) + (i % 5)) for i in range(200)], 120)
    assert found is not None
    assert found.flat
    assert found.warm_mib == 502


def test_a_slow_leak_is_not_flat() -> None:
    found = flatness([(10.0 * i, 500.0 + 0.5 * i) for i in range(200)], 120)
    assert found is not None
    assert not found.flat
    assert found.trend_mib == pytest.approx(0.5 * 187)


def test_one_late_jump_is_not_flat() -> None:
    found = flatness([(10.0 * i, 500.0 + 200 * (i > 195)) for i in range(200)], 120)
    assert found is not None
    assert found.trend_mib < 64 < found.rise_mib
    assert not found.flat


def test_too_few_samples_say_nothing() -> None:
    assert flatness([(0.0, 1.0), (130.0, 1.0)], 120) is None
