"""Compiles grammars beside the engine's loop, so that nobody's tokens wait for another request's schema. Torch-free.

A request with a structure leaves the loop for one of a few threads (so that a slow grammar does not hold up the next
one) and comes back through the inbox with its matcher or an error. The thread only waits: the work is done in another
process (``grammar/processes.py``), which is ended at once when the request is aborted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.messages import Request, Steer
from mavis_core.api.structure import Structure
from mavis_core.grammar.matcher import Matcher

log = logging.getLogger(__name__)

THREADS = 8


@dataclass(frozen=True, slots=True)
class Compiled:
    """A request whose structure was compiled, or why it could not be."""

    request: Request
    result: Matcher | InvalidRequestError


class Compiling(Protocol):
    """The work on one structure."""

    @property
    def end(self) -> Callable[[], object]:
        """Stop the work, from any thread; stopping it twice, or after its end, is harmless."""

    def matcher(self) -> Matcher:
        """Wait for the result; raises InvalidRequestError, also if the work was stopped."""


class GrammarThread:
    """Args:
    start: begins to compile, or raises InvalidRequestError.
    put: hands a result to the loop, from any thread.
    """

    def __init__(self, start: Callable[[Structure], Compiling], put: Callable[[Compiled], None]) -> None:
        self._start = start
        self._put = put
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mavis-grammar")
        self._jobs: dict[str, Job] = {}

    @property
    def waiting(self) -> int:
        """Requests that wait for their grammar."""
        return len(self._jobs)

    def submit(self, request: Request, structure: Structure) -> None:
        """Start compiling; ``Compiled`` follows."""
        self._jobs[request.id] = job = Job(request)
        self._pool.submit(self._run, job, structure)

    def hold(self, message: Steer) -> bool:
        """Keep a message for a request that waits for its grammar, until that is there; False where none waits."""
        if (job := self._jobs.get(message.request_id)) is None:
            return False
        job.held.append(message)
        return True

    def forget(self, request_id: str) -> list[Steer]:
        """Stop compiling for a request, and give back what was held for it; unknown ids are ignored."""
        if (job := self._jobs.pop(request_id, None)) is None:
            return []
        job.stop()
        return job.held

    def take(self, compiled: Compiled) -> list[Steer] | None:
        """What was held for the request of a result, once; None where the result is not wanted any more."""
        job = self._jobs.get(compiled.request.id)
        if job is None or job.request is not compiled.request:
            return None
        del self._jobs[compiled.request.id]
        return job.held

    def close(self) -> None:
        """Start no further work, and stop what runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for request_id in list(self._jobs):
            self.forget(request_id)

    def _run(self, job: Job, structure: Structure) -> None:
        result: Matcher | InvalidRequestError
        try:
            if not job.wanted:
                return
            compiling = self._start(structure)
            job.run(compiling)
            result = compiling.matcher()
        except InvalidRequestError as error:
            result = error
        except BaseException:  # a result must come back in any case, or the request would wait for ever
            log.exception("compiling a %s failed", structure.kind)
            result = InvalidRequestError("structure: it cannot be compiled", "structure")
        self._put(Compiled(job.request, result))


class Job:
    """A request that waits for its grammar; stopped by the loop, run by a thread."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.held: list[Steer] = []
        self.wanted = True
        self._compiling: Compiling | None = None
        self._lock = Lock()

    def run(self, compiling: Compiling) -> None:
        with self._lock:
            self._compiling = compiling
        if not self.wanted:
            compiling.end()

    def stop(self) -> None:
        self.wanted = False
        with self._lock:
            if self._compiling is not None:
                self._compiling.end()
