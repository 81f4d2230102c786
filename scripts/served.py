"""``mavis serve`` as a process of its own on a free port: for tests, benchmarks and other projects' clients."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import httpx

PROGRAM = (sys.executable, "-m", "server", "serve")
START_SECONDS = 180
STOP_SECONDS = 60


class Process(Protocol):
    """What is used of ``subprocess.Popen``."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Served:
    port: int
    process: Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def start(
    *options: str,
    log: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
    checkout: Path | None = None,
) -> Served:
    """A server that is ready and that the caller has to end.

    Args:
        log: where its standard error goes.
        environment: added to our own.
        program: what serves.
        checkout: the tree that it is of; ours where there is none.

    Raises:
        RuntimeError: it ended, or was not ready in three minutes.
    """
    port = free_port()
    command = [*program, "--port", str(port), "--log-level", "error", *options]
    env = {**os.environ, **(environment or {})}
    if checkout is not None:  # a path of ours would come before it
        env["PYTHONPATH"] = str(checkout)
    return ready(Served(port, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=env, cwd=checkout)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ready(served: Served) -> Served:
    """``served``, once it is ready.

    Raises:
        RuntimeError: it ended, or was not ready in three minutes.
    """
    deadline = time.monotonic() + START_SECONDS
    while served.process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{served.url}/ready", timeout=10).status_code == httpx.codes.OK:
                return served
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    served.process.kill()
    raise RuntimeError(f"mavis serve did not become ready (exit code {served.process.wait(STOP_SECONDS)})")


@contextmanager
def served(
    *options: str,
    log: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
    checkout: Path | None = None,
) -> Iterator[Served]:
    """The same for as long as a block lasts; it is then asked to end, and waited for."""
    server = start(*options, log=log, environment=environment, program=program, checkout=checkout)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(STOP_SECONDS)
