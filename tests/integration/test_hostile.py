"""A sample of the hostile requests of ``benchmarks/hostile`` against the server with the model that ships."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from benchmarks.health_watch import HealthWatch
from benchmarks.hostile.attack import send
from benchmarks.hostile.campaign import attacks, run
from benchmarks.hostile.crowds import crowds
from benchmarks.hostile.odd_paths import odd_paths
from benchmarks.hostile.siege import besiege
from tests.integration.conftest import Served

LEAST_REFUSED = 40


def port_of(served: Served) -> int:
    port = httpx.URL(served.url).port
    assert port is not None
    return port


def test_hostile_requests_cost_nothing_that_stays(served: Served) -> None:
    port = port_of(served)
    with HealthWatch(port) as watch:
        report = run(attacks(port, 150, seed=1), port, watch)
    assert report.problems == []
    assert report.statuses["400"] > LEAST_REFUSED, "most must be refused, or they are not hostile"
    assert report.statuses["200"] > 0


def test_no_spelling_of_a_path_is_an_internal_error(served: Served) -> None:
    port = port_of(served)
    document = httpx.get(f"{served.url}/openapi.json", timeout=30).json()
    found = [(attack, send(attack, "127.0.0.1", port)) for attack in odd_paths(document)]
    wrong = {f"{attack.name}: {attack.data[:120]!r}" for attack, outcome in found if outcome.status >= 500}
    assert len(found) > 500
    assert wrong == set()
    served.wait_idle()


@pytest.mark.parametrize(
    "name",
    [
        "silent",
        "half a head",
        "a body byte by byte",
        "flood: trailers",
        "flood: trailers after a refusal",
        "abandoned tokenize",
        "abandoned structures",
        "streams that nobody reads",
        "left with a request queued",
    ],
)
def test_a_crowd_costs_others_nothing(served: Served, name: str) -> None:
    """Forty of those that only wait, a few of the others; the campaign sends hundreds."""
    port = port_of(served)
    crowd = next(replace(crowd, hold=1.0, closed=False) for crowd in crowds(size=40) if crowd.name == name)
    with HealthWatch(port) as watch:
        report = besiege(crowd, port, served.process.pid, watch)
        assert watch.answers > 0
    assert report.problems == []
