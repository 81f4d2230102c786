"""A sample of the hostile requests of ``benchmarks/hostile`` against the server with the model that ships."""

from __future__ import annotations

import httpx

from benchmarks.hostile.campaign import attacks, run
from tests.integration.conftest import Served

LEAST_REFUSED = 60


def test_hostile_requests_cost_nothing_that_stays(served: Served) -> None:
    port = httpx.URL(served.url).port
    assert port is not None
    report = run(attacks(port, 150, seed=1), port)
    assert report.problems == []
    assert report.statuses["400"] > LEAST_REFUSED, "most must be refused, or they are not hostile"
    assert report.statuses["200"] > 0
