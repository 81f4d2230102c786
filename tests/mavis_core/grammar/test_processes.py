"""Grammars in processes of their own: the same answers as here, limits that hold, and nothing that stays behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure
from mavis_core.grammar.processes import GrammarProcesses
from mavis_core.grammar.wire import Limits
from tests.structures import BYTE_EOS, EXPLODES, EXPLODES_LATER, byte_compiler, matcher, tokens_of

STOPS = (BYTE_EOS,)
SCHEMA = '{"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}, "b": {"type": "integer"}}}'


@pytest.fixture(scope="module")
def processes() -> Iterator[GrammarProcesses]:
    made = GrammarProcesses(byte_compiler().vocabulary)
    yield made
    made.close()


def limited(**limits: Any) -> GrammarProcesses:
    return GrammarProcesses(byte_compiler().vocabulary, Limits(**limits))


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def until(done: Callable[[], bool]) -> None:
    """Wait for what happens in other processes; the test's own time limit is the bound."""
    while not done():
        time.sleep(0.01)


def test_they_follow_as_here(processes: GrammarProcesses) -> None:
    here, there = matcher("json_schema", SCHEMA), processes.start(Structure("json_schema", SCHEMA)).matcher()
    rng = random.Random(5)
    while not here.exhausted:
        allowed = here.allowed(STOPS, True)
        assert there.allowed(STOPS, True) == allowed
        assert (there.complete, there.exhausted, there.error) == (here.complete, here.exhausted, here.error)
        token = rng.choice(sorted(tokens_of(allowed)))
        assert there.accepts(token) and not there.accepts(BYTE_EOS - 1 - token % 7 if token == 0 else 0)
        here.advance(token)
        there.advance(token)
        if here.ended:
            break
    assert there.exhausted
    assert there.complete


def test_copies_go_their_own_way(processes: GrammarProcesses) -> None:
    first = processes.start(Structure("regex", "a[bc]d")).matcher()
    first.advance(ord("a"))
    second = first.copy()
    first.advance(ord("b"))
    second.advance(ord("c"))
    assert tokens_of(second.allowed(STOPS, False)) == tokens_of(first.allowed(STOPS, False)) == {ord("d")}
    second.advance(ord("x"))
    assert second.error is not None
    assert second.allowed(STOPS, False).count(0) == 0
    first.advance(ord("d"))
    assert first.exhausted and first.error is None


def test_refusals_are_the_librarys(processes: GrammarProcesses) -> None:
    with pytest.raises(InvalidRequestError, match=r"^structure: regex: .*unclosed group") as refused:
        processes.start(Structure("regex", "(a")).matcher()
    assert refused.value.param == "structure"


@pytest.mark.parametrize("limits", [{"compile_seconds": 0.2}, {"memory_bytes": 80 << 20}], ids=["time", "memory"])
def test_compiling_is_bounded(limits: dict[str, Any]) -> None:
    processes = limited(**{"compile_seconds": 600.0} | limits)
    with pytest.raises(
        InvalidRequestError, match="structure: json_schema: it takes too much time or memory"
    ) as refused:
        processes.start(Structure("json_schema", EXPLODES)).matcher()
    assert refused.value.param == "structure"
    assert processes.start(Structure("choice", '["a"]')).matcher().error is None
    processes.close()


def test_a_step_is_bounded() -> None:
    processes = limited(step_seconds=0.2)
    found = processes.start(Structure("json_schema", EXPLODES_LATER)).matcher()
    other = processes.start(Structure("regex", "a+")).matcher()
    for byte in b'{"a":1':
        found.allowed(STOPS, False)
        assert found.error is None
        found.advance(byte)
    assert found.allowed(STOPS, False).count(0) == 0, "whatever is drawn, the row ends"
    assert found.error == "structure: it takes too much time or memory; make it simpler"
    other.advance(ord("a"))
    assert other.error is None
    processes.close()


def test_it_ends_with_its_last_matcher() -> None:
    processes = limited()
    first = processes.start(Structure("json_schema", SCHEMA)).matcher()
    parent = processes._parent
    assert parent is not None
    second = first.copy()
    del first
    second.advance(ord("{"))
    assert second.error is None
    assert len(children(parent._process.pid)) == 1
    del second
    until(lambda: not children(parent._process.pid))
    processes.close()


def test_who_waits_is_released_when_it_is_ended() -> None:
    processes = limited(compile_seconds=600.0, memory_bytes=1 << 40)
    process = processes.start(Structure("json_schema", EXPLODES))
    threading.Timer(0.2, process.end).start()
    with pytest.raises(InvalidRequestError, match="too much time"):
        process.matcher()
    processes.close()


def test_a_parent_that_was_killed_is_replaced(processes: GrammarProcesses) -> None:
    found = processes.start(Structure("regex", "a+")).matcher()
    parent = processes._parent
    assert parent is not None
    os.kill(parent._process.pid, signal.SIGKILL)
    until(lambda: parent.ended)
    assert processes.start(Structure("regex", "b+")).matcher().error is None
    found.advance(ord("a"))
    assert found.error is None, "a grammar that is there already goes on"


PROGRAM = """
import signal, sys, threading, time
from mavis_core.grammar.compiler import Vocabulary
from mavis_core.grammar.processes import GrammarProcesses
from mavis_core.grammar.wire import Limits
from mavis_core.api.structure import Structure
processes = GrammarProcesses(lambda: Vocabulary("byte", 300, ()), Limits(600.0, 600.0, 1 << 40))
process = processes.start(Structure("json_schema", sys.argv[1]))
threading.Thread(target=process.matcher, daemon=True).start()
print(processes._parent._process.pid, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_all_of_them_end_with_the_engines_process(how: signal.Signals) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", PROGRAM, EXPLODES]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        parent = program.stdout.readline().strip()
        try:
            until(lambda: len(children(int(parent))) == 1)
            (child,) = children(int(parent))
        finally:
            program.send_signal(how)
    until(lambda: not any(Path("/proc", pid).exists() for pid in (parent, child)))
