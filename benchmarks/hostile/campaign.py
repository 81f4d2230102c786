"""A set of attacks sent to a server, and what must hold for each of them and afterwards."""

from __future__ import annotations

import collections
import random
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import httpx

from benchmarks.hostile import fields, wire
from benchmarks.hostile.attack import Attack, Outcome, send
from benchmarks.hostile.from_schema import from_schema

LIMIT_SECONDS = 10.0
CLIENTS = 8
SLOWEST = 10
IDLE = ("mavis:num_requests_running", "mavis:num_requests_waiting", "mavis:kv_cache_usage_perc")


@dataclass(frozen=True)
class Report:
    """Attributes:
    statuses: how many answers of each status; "0" is a connection closed without one, or a client that left.
    slowest: name and seconds, slowest first.
    problems: what should not have happened, in words.
    """

    statuses: dict[str, int]
    slowest: list[tuple[str, float]]
    problems: list[str]


def by_hand() -> list[Attack]:
    by_wire = [wire.protocol, wire.impatient, wire.bodies, wire.headers, wire.paths]
    by_field = [fields.structures, fields.tools, fields.messages, fields.sizes, fields.weights]
    return [attack for group in by_wire + by_field for attack in group()]


def attacks(port: int, count: int, seed: int) -> list[Attack]:
    """So many of them, the same for the same seed: those by hand, at most half of them, the rest from the schema."""
    rng = random.Random(seed)
    document = httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=30).json()
    found = by_hand()
    rng.shuffle(found)
    found = found[: count // 2]
    found += islice(from_schema(document, rng), count - len(found))
    rng.shuffle(found)
    return found


def run(chosen: Sequence[Attack], port: int) -> Report:
    """Send all of them, wait until the server is idle, ask again what was asked before."""
    before = _reference(port)
    with ThreadPoolExecutor(CLIENTS) as pool:
        outcomes = list(pool.map(lambda attack: _outcome(attack, port), chosen))
    pairs = list(zip(chosen, outcomes, strict=True))
    problems = [problem for attack, outcome in pairs for problem in _wrong(attack, outcome)]
    if not _becomes_idle(port):
        problems.append("rows, waiting requests or KV are left behind")
    if _reference(port) != before:
        problems.append("the same request with the same seed has another answer")
    statuses = collections.Counter(str(outcome.status) for outcome in outcomes)
    slowest = sorted(((a.name, round(o.seconds, 2)) for a, o in pairs), key=lambda pair: -pair[1])
    return Report(dict(sorted(statuses.items())), slowest, problems)


def _outcome(attack: Attack, port: int) -> Outcome:
    return send(attack, "127.0.0.1", port)


def _wrong(attack: Attack, outcome: Outcome) -> list[str]:
    what = f"{attack.name}: {attack.data[-300:]!r}"
    found = []
    if outcome.status >= 500 or b'"server_error"' in outcome.answer:
        found.append(f"{outcome.status}: {what} -> {outcome.answer[-300:]!r}")
    if outcome.seconds > LIMIT_SECONDS:
        found.append(f"{outcome.seconds:.1f} s: {what}")
    if re.search(rb"\n(x-injected|set-cookie):", outcome.answer.partition(b"\r\n\r\n")[0], re.IGNORECASE):
        found.append(f"injected header: {what}")
    if b"root:x:0" in outcome.answer:
        found.append(f"a file of the machine: {what}")
    return found


def _becomes_idle(port: int, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text.splitlines()
        if all(f"{name} 0.0" in lines for name in IDLE):
            return True
        time.sleep(0.1)
    return False


def _reference(port: int) -> str:
    body = {
        "messages": [{"role": "user", "content": "How was your day?"}],
        "objective_weights": {"cheerful": 1, "concise": -0.5},
        "max_tokens": 32,
        "seed": 7,
    }
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, timeout=60)
    answer.raise_for_status()
    return str(answer.json()["choices"][0]["message"]["content"])
