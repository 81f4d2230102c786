"""Programs that need torch, forked from one process that has imported it: they begin at once, not after seconds.

They run the code that the command runs. What they leave out is how an interpreter starts and how it ends, so tests of
those run the command itself, as a ``subprocess``.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from subprocess import TimeoutExpired
from types import SimpleNamespace
from typing import Any

import pytest

from mavis_core.process import engine_process

PRELOAD = (
    "server.cli.app",
    "server.cli.engine",
    "server.cli.flags",
    "server.serving",
    "accelerate",
    "matplotlib.pyplot",
    "transformers.models.llama.modeling_llama",
    "value_models.evaluation.evaluate",
    "value_models.loading",
    "value_models.training.distill",
    "value_models.training.iterate",
    "value_models.rewards.judge",
    "value_models.rewards.judge_cache",
    "httpx",
)


def context() -> ForkServerContext:
    """Its processes are forked from one that has imported everything and run nothing."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(PRELOAD))
    return found


class Forked:
    """What tests need of ``subprocess.Popen``, for ``function(*arguments)``, which must be picklable.

    Args:
        log: where its standard error goes; nowhere without it.
    """

    def __init__(self, function: Callable[..., object], *arguments: Any, log: Path | None = None) -> None:
        self._process = context().Process(target=_run, args=(function, arguments, log))
        self._process.start()
        atexit.register(self._process.kill)  # multiprocessing would wait for one that a failed test left

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired("a forked program", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@pytest.fixture
def forked_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ``EngineProcess`` of the test is forked, not spawned; what it is sent is pickled all the same."""
    fork_engines(monkeypatch)


def fork_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "multiprocessing", SimpleNamespace(get_context=lambda method: context()))


def _run(function: Callable[..., object], arguments: tuple[Any, ...], log: Path | None) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT, 0o600), 2)
    function(*arguments)
