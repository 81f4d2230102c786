"""Ours and the library's histogram expose the same text."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from server.telemetry.token_histogram import TokenHistogram

BUCKETS = (0.01, 0.5, 1, 2.5)


def without_created(text: bytes) -> list[str]:
    return [line for line in text.decode().splitlines() if "_created" not in line]


def test_exposed_as_the_librarys_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = TokenHistogram("mavis:x_nats", "about x", BUCKETS, ours)
    library = Histogram("mavis:x_nats", "about x", buckets=BUCKETS, registry=theirs)
    assert without_created(generate_latest(ours)) == without_created(generate_latest(theirs))
    for amount in (0.0, 0.01, 0.0100001, 1, 2.5, 2.6, 1e9):
        mine.observe(amount)
        library.observe(amount)
    assert without_created(generate_latest(ours)) == without_created(generate_latest(theirs))
