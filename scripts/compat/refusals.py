"""What refused.yaml says must be refused, against what the server said.

Three kinds of refusal, each proved by answers: an ``endpoint`` that is not offered; ``fields``, each of which is
refused by name when it is the only one of them in the test's own request, which is answered without them; and a field
that the request ``lacks`` and is answered with.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
Send = Callable[[str, Body], tuple[int, Any]]
"""Path and body of a POST to status and answer, errors without their envelope."""


@dataclass(frozen=True)
class Record:
    """How one variant of a test ended (``scripts.compat.record``)."""

    test: str
    outcome: str
    raised: str
    status: int | None = None
    error: Any = None
    method: str = ""
    path: str = ""
    body: Body | None = None

    @property
    def name(self) -> str:
        """``chat.test_completions.test_method_list``: without class and variant."""
        file, *_, test = self.test.partition("[")[0].split("::")
        module = file.partition("api_resources/")[2].removesuffix(".py").replace("/", ".")
        return f"{module}.{test}"

    def error_says(self, key: str) -> str:
        return str(self.error.get(key)) if isinstance(self.error, dict) else ""


@dataclass(frozen=True)
class Refusal:
    """One entry of refused.yaml."""

    tests: dict[str, list[str]]
    why: str = ""
    endpoint: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    lacks: str = ""
    of: str = ""

    @property
    def names(self) -> list[str]:
        return [f"{module}.test_{test}" for module, tests in self.tests.items() for test in tests]

    def told(self) -> dict[str, Any]:
        """What is refused, as the result says it."""
        if self.endpoint:
            return {"endpoint": self.endpoint}
        return {"of": self.of, "lacks": self.lacks} if self.lacks else {"of": self.of, "fields": list(self.fields)}

    def problem(self, record: Record) -> str | None:
        """None where ``record`` is this refusal; else what it was instead."""
        if record.outcome == "passed":
            return "passes, but is listed as refused"
        if self._names_endpoint(record) if self.endpoint else self._names_field(record):
            return None
        return f"fails, but not as listed: {record.status} {record.error or record.raised}"

    def _names_endpoint(self, record: Record) -> bool:
        method, _, template = self.endpoint.partition(" ")
        asked = record.method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), record.path)
        named = record.error_says("message").startswith(f"{method} {record.path} is not supported by this server:")
        coded = record.status in (404, 405) and record.error_says("code") == "unsupported_endpoint"
        return bool(asked and named and coded)

    def _names_field(self, record: Record) -> bool:
        return record.status == 400 and record.error_says("param") in (self.fields or [self.lacks])

    def disproved(self, path: str, body: Body, send: Send) -> Iterator[str]:
        """What the server says to variations of the test's request that the entry is wrong about."""
        if self.lacks:
            yield from _answered(path, body | {self.lacks: "string"}, send, f"with {self.lacks}")
        if not self.fields:
            return
        for name in self.fields:
            status, said = send(path, without(body, [other for other in self.fields if other != name]))
            if status != 400 or said.get("param") != name:
                yield f"with {name} alone: not refused by that name: {status} {said}"
        yield from _answered(path, without(body, list(self.fields)), send, "without the listed fields")


def _answered(path: str, body: Body, send: Send, when: str) -> Iterator[str]:
    status, said = send(path, body)
    if status != 200:
        yield f"{when}: not answered: {status} {said}"


def without(body: Body, paths: list[str]) -> Body:
    """``body`` less what ``paths`` name, like ``tools[0].async``; all must be there."""
    left = copy.deepcopy(body)
    for path in paths:
        *outer, last = [int(step) if step.isdigit() else step for step in re.findall(r"\w+", path)]
        owner: Any = left
        for step in outer:
            owner = owner[step]
        del owner[last]
    return left


def differences(records: list[Record], refusals: list[Refusal], send: Send) -> list[str]:
    """A sentence on every test that fails without being listed, is listed and passes, or fails in another way, and on
    every entry that the server's answers disprove."""
    listed = {name: refusal for refusal in refusals for name in refusal.names}
    wrong = [f"{name}: listed, but there is no such test" for name in sorted(listed.keys() - {r.name for r in records})]
    tried: list[tuple[str, Body]] = []
    for record in records:
        refusal = listed.get(record.name)
        if refusal is None:
            if record.outcome != "passed":
                wrong.append(f"{record.test}: {record.outcome}: {record.status} {record.error or record.raised}")
            continue
        problem = refusal.problem(record)
        if problem is not None:
            wrong.append(f"{record.test}: {problem}")
        elif record.body is not None and (record.path, record.body) not in tried:
            tried.append((record.path, record.body))
            wrong += [f"{record.name} {found}" for found in refusal.disproved(record.path, record.body, send)]
    return wrong
