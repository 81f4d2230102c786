"""``GET /health`` ten times a second while something else goes on: whether a server still answers, and how late.

From an address of its own, 127.0.0.2: what the server holds against the address that misbehaves must not reach this
one. A thread, so that whoever watches may be busy; it measures this process's own delays too, which only adds.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

import httpx

BYSTANDER = "127.0.0.2"
EVERY_SECONDS = 0.1
ANSWER_SECONDS = 30.0


def bystander(port: int, timeout: float = ANSWER_SECONDS) -> httpx.Client:
    """A client whose address is not that of the misbehaving ones, with a new connection for each request: it has to be
    let in each time, and never writes to one that is being closed as idle."""
    transport = httpx.HTTPTransport(local_address=BYSTANDER, limits=httpx.Limits(max_keepalive_connections=0))
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=timeout)


class HealthWatch:
    """
    Attributes:
        slowest: seconds of the slowest answer since the last ``take``.
        failures: what came instead of a 200, in words; at most a hundred are kept.
        answers: how many there were.
    """

    def __init__(self, port: int) -> None:
        self.slowest = 0.0
        self.failures: list[str] = []
        self.answers = 0
        self._port = port
        self._asked: float | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> HealthWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(ANSWER_SECONDS + 5)

    def take(self) -> tuple[float, list[str]]:
        """The slowest answer and the failures since the last call; one that is still awaited counts as it stands."""
        asked = self._asked
        slowest = max(self.slowest, 0.0 if asked is None else time.monotonic() - asked)
        failures, self.slowest, self.failures = self.failures, 0.0, []
        return round(slowest, 3), failures

    def _run(self) -> None:
        with bystander(self._port) as client:
            while not self._ending.wait(EVERY_SECONDS):
                start = self._asked = time.monotonic()
                try:
                    status = client.get("/health").status_code
                    failed = None if status == httpx.codes.OK else f"/health answered {status}"
                except httpx.HTTPError as error:
                    failed = f"/health: {error!r}"
                self._asked = None
                self.slowest = max(self.slowest, time.monotonic() - start)
                self.answers += 1
                if failed is not None and len(self.failures) < 100:
                    self.failures.append(failed)
