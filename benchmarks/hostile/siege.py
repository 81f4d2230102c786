"""A crowd stands before a server: is anybody else still served, and what is left when the crowd is gone?"""

from __future__ import annotations

import collections
import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from benchmarks.health_watch import HealthWatch, bystander
from benchmarks.hostile.attack import LATER_SECONDS, status_of
from benchmarks.hostile.crowds import MIB, Crowd
from benchmarks.process_stat import open_files, resident_mib

HEALTH_SECONDS = 2.0
OTHERS_SECONDS = 10.0
IDLE_SECONDS = 20.0
WORK_SECONDS = 120.0
DRIP_SECONDS = 0.25
SEND_SECONDS = 10.0
OTHER_FILES = 4  # connections of the bystanders, a database
IDLE = ("mavis:num_requests_running", "mavis:num_requests_waiting", "mavis:kv_cache_usage_perc")


@dataclass(frozen=True)
class SiegeReport:
    """Attributes:
    connections: what became of them: "open" or "closed", after the status of the first answer if there was one.
    health: seconds of the slowest answer of ``/health`` while they stood.
    others: seconds that a small request of somebody else took.
    growth_mib: resident memory while they stood over that before.
    """

    name: str
    connections: dict[str, int]
    health: float
    others: float
    growth_mib: float
    problems: list[str]


def becomes_idle(port: int, seconds: float = IDLE_SECONDS) -> bool:
    """Whether no row runs or waits and no KV is held, at last."""
    deadline = time.monotonic() + seconds
    with bystander(port) as client:
        while time.monotonic() < deadline:
            lines = client.get("/metrics").text.splitlines()
            if all(f"{name} 0.0" in lines for name in IDLE):
                return True
            time.sleep(0.1)
    return False


def aftermath(port: int, watch: HealthWatch) -> tuple[float, list[str]]:
    """Seconds of the slowest answer to /health since the last look, and what is wrong now that an attack is over."""
    problems = [] if becomes_idle(port) else ["rows, waiting requests or KV are left behind"]
    health, failures = watch.take()
    problems += failures[:3]
    if health > HEALTH_SECONDS:
        problems.append(f"/health took {health:.1f} s: at most {HEALTH_SECONDS:g}")
    return health, problems


def besiege(crowd: Crowd, port: int, pid: int, watch: HealthWatch) -> SiegeReport:
    problems: list[str] = []
    becomes_idle(port, WORK_SECONDS)  # what an earlier crowd left behind counted there
    before, files = resident_mib(pid), open_files(pid)
    watch.take()
    with ThreadPoolExecutor(min(crowd.size, 32)) as pool:
        sockets = list(pool.map(lambda i: _joined(crowd, i, port), range(crowd.size)))
    try:
        others = 0.0 if crowd.fills else _others(port, problems)
        _stand(crowd, [connection for connection in sockets if connection is not None])
        growth = resident_mib(pid) - before
        if crowd.fills:
            if not becomes_idle(port, WORK_SECONDS if not crowd.leaves else IDLE_SECONDS):
                problems.append("its rows still run")
            growth = max(growth, resident_mib(pid) - before)
            others = _others(port, problems)
        still = open_files(pid) - files  # asked of the server: to read what is left would help it to close
        if crowd.closed and still > OTHER_FILES:
            problems.append(f"the server holds {still} more files after {crowd.hold:g} s")
        found = collections.Counter(_became(connection) for connection in sockets)
    finally:
        for connection in sockets:
            if connection is not None:
                connection.close()
    health, left = aftermath(port, watch)
    problems += left
    if growth > crowd.growth_mib:
        problems.append(f"resident memory grew by {growth:.0f} MiB: at most {crowd.growth_mib:g}")
    named = [f"crowd of {crowd.size}, {crowd.name}: {problem}" for problem in problems]
    return SiegeReport(crowd.name, dict(sorted(found.items())), health, others, round(growth, 1), named)


def _joined(crowd: Crowd, number: int, port: int) -> socket.socket | None:
    """One of the crowd, who has sent; None: it was not let in, or has left."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), SEND_SECONDS)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # the server may close at any time, and that is an answer
        connection.sendall(crowd.data[number % len(crowd.data)])
        if crowd.flood:
            time.sleep(LATER_SECONDS)  # what comes with the head is looked at with it
            piece = crowd.flood * -(-MIB // len(crowd.flood))
            for _ in range(crowd.mebibytes):
                connection.sendall(piece)
    if crowd.leaves:
        time.sleep(0.2 if crowd.fills else 0.0)
        connection.close()
        return None
    return connection


def _stand(crowd: Crowd, sockets: list[socket.socket]) -> None:
    end, sent = time.monotonic() + crowd.hold, 0
    while time.monotonic() < end:
        time.sleep(DRIP_SECONDS)
        if crowd.drip:
            byte = crowd.drip[sent % len(crowd.drip) :][:1]
            sent += 1
            for connection in sockets:
                with contextlib.suppress(OSError):  # closed by the server
                    connection.send(byte, socket.MSG_DONTWAIT)


def _others(port: int, problems: list[str]) -> float:
    """Seconds until a small request of somebody else is answered; refused for a moment is forgiven, for long is not."""
    body = {"messages": [{"role": "user", "content": "How was your day?"}], "max_tokens": 4, "seed": 1}
    start = time.monotonic()
    status: object = None
    with bystander(port) as client:
        while time.monotonic() - start < OTHERS_SECONDS:
            try:
                status = client.post("/v1/chat/completions", json=body).status_code
            except httpx.HTTPError as error:
                status = repr(error)
            if status == httpx.codes.OK:
                break
            time.sleep(0.2)
    seconds = round(time.monotonic() - start, 2)
    if status != httpx.codes.OK:
        problems.append(f"somebody else's small request was answered {status} for {seconds:.0f} s")
    elif seconds > OTHERS_SECONDS:
        problems.append(f"somebody else's small request took {seconds:.1f} s: at most {OTHERS_SECONDS:g}")
    return seconds


def _became(connection: socket.socket | None) -> str:
    if connection is None:
        return "gone"
    connection.setblocking(False)
    answer, state = bytearray(), "open"
    try:
        while piece := connection.recv(1 << 16):
            answer += piece[: 1 << 10]
        state = "closed"
    except BlockingIOError:
        pass  # no more for now, and not closed
    except OSError:
        state = "closed"
    return f"{status_of(answer)}, {state}" if answer else state
