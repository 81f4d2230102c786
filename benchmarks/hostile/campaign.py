"""A set of attacks sent to a server, and what must hold for each of them and afterwards."""

from __future__ import annotations

import collections
import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import httpx

from benchmarks.health_watch import HealthWatch
from benchmarks.hostile import fields, framing, wire
from benchmarks.hostile.attack import Attack, Outcome, send
from benchmarks.hostile.from_schema import from_schema
from benchmarks.hostile.intersections import intersections
from benchmarks.hostile.odd_paths import odd_paths
from benchmarks.hostile.siege import aftermath

LIMIT_SECONDS = 20.0  # the longest answers have 300 tokens; steps of eight clients with grammars take 50 ms
CLIENTS = 8
SLOWEST = 10
ANSWER = re.compile(rb"HTTP/1\.[01] (?!100)\d{3} ")


@dataclass(frozen=True)
class Report:
    """Attributes:
    statuses: how many answers of each status; "0" is a connection closed without one, or a client that left.
    slowest: name and seconds, slowest first.
    health: seconds of the slowest answer of ``/health`` meanwhile.
    problems: what should not have happened, in words.
    """

    statuses: dict[str, int]
    slowest: list[tuple[str, float]]
    health: float
    problems: list[str]


def by_hand() -> list[Attack]:
    by_wire = [wire.protocol, wire.impatient, wire.bodies, wire.headers, wire.paths]
    by_wire += [framing.smuggled, framing.served_nevertheless, framing.trailers]
    by_field = [fields.structures, fields.tools, fields.messages, fields.sizes, fields.weights, intersections]
    return [attack for group in by_wire + by_field for attack in group()]


def attacks(port: int, count: int, seed: int) -> list[Attack]:
    """So many, the same for the same seed: at most half by hand, a quarter odd paths, the rest by the schema."""
    rng = random.Random(seed)
    document = httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=30).json()
    found = by_hand()
    rng.shuffle(found)
    found = found[: count // 2]
    odd = odd_paths(document)
    found += rng.sample(odd, min(len(odd), count // 4))
    found += islice(from_schema(document, rng), count - len(found))
    rng.shuffle(found)
    return found


def run(chosen: Sequence[Attack], port: int, watch: HealthWatch) -> Report:
    """Send all of them, wait until the server is idle, ask again what was asked before."""
    before = _reference(port)
    watch.take()
    with ThreadPoolExecutor(CLIENTS) as pool:
        outcomes = list(pool.map(lambda attack: _outcome(attack, port), chosen))
    pairs = list(zip(chosen, outcomes, strict=True))
    problems = [problem for attack, outcome in pairs for problem in _wrong(attack, outcome)]
    health, found = aftermath(port, watch)
    problems += found
    if (after := _reference(port)) != before:
        problems.append(f"the same request with the same seed was answered {before!r}, now {after!r}")
    statuses = collections.Counter(str(outcome.status) for outcome in outcomes)
    slowest = sorted(((a.name, round(o.seconds, 2)) for a, o in pairs), key=lambda pair: -pair[1])
    return Report(dict(sorted(statuses.items())), slowest, health, problems)


def _outcome(attack: Attack, port: int) -> Outcome:
    return send(attack, "127.0.0.1", port)


def _wrong(attack: Attack, outcome: Outcome) -> list[str]:
    what = f"{attack.name}: {attack.data[-300:]!r}"
    found = []
    if outcome.status >= 500 or b'"server_error"' in outcome.answer:
        found.append(f"{outcome.status}: {what} -> {outcome.answer[-300:]!r}")
    if outcome.seconds > LIMIT_SECONDS:
        found.append(f"{outcome.seconds:.1f} s: {what}")
    if attack.refused and 200 <= outcome.status < 300:
        found.append(f"{outcome.status}, not refused: {what} -> {outcome.answer[-300:]!r}")
    answers = len(ANSWER.findall(outcome.answer))
    if attack.answers is not None and answers > attack.answers:
        found.append(f"{answers} answers, at most {attack.answers}: {what} -> {outcome.answer[-300:]!r}")
    if re.search(rb"\n(x-injected|set-cookie):", outcome.answer.partition(b"\r\n\r\n")[0], re.IGNORECASE):
        found.append(f"injected header: {what}")
    if b"root:x:0" in outcome.answer:
        found.append(f"a file of the machine: {what}")
    return found


def _reference(port: int) -> str:
    """The answer to one request with a seed, steered where there is something to steer towards."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        objectives = [card["name"] for card in client.get("/v1/objectives").json()["data"]]
        body = {
            "messages": [{"role": "user", "content": "How was your day?"}],
            "objective_weights": dict(zip(objectives, (1, -0.5), strict=False)),
            "max_tokens": 32,
            "seed": 7,
        }
        answer = client.post("/v1/chat/completions", json=body)
        if answer.status_code != httpx.codes.OK:
            return f"{answer.status_code}: {answer.text}"
        return str(answer.json()["choices"][0]["message"]["content"])
