"""Grammars compiled beside the engine's loop, so that nobody's tokens wait for somebody's schema. Torch-free.

A request with a structure leaves the loop for one of two threads (two, so that one slow grammar does not hold up the
next one) and comes back through the inbox with what became of it. llguidance compiles without the interpreter lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mavis_core.errors import InvalidRequestError
from mavis_core.matcher import Matcher
from mavis_core.messages import Request
from mavis_core.structure import Structure

log = logging.getLogger(__name__)

THREADS = 2


@dataclass(frozen=True, slots=True)
class Compiled:
    """A request whose structure was compiled, or why it could not be."""

    request: Request
    result: Matcher | InvalidRequestError


class GrammarThread:
    """Args: compile: raises InvalidRequestError; put: hands a result to the loop, from any thread."""

    def __init__(self, compile: Callable[[Structure], Matcher], put: Callable[[Compiled], None]) -> None:
        self._compile = compile
        self._put = put
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mavis-grammar")
        self._waiting: dict[str, Request] = {}

    def submit(self, request: Request, structure: Structure) -> None:
        """Start compiling; ``Compiled`` follows."""
        self._waiting[request.id] = request
        self._pool.submit(self._run, request, structure)

    def forget(self, request_id: str) -> None:
        """Its result is not wanted any more; unknown ids are ignored."""
        self._waiting.pop(request_id, None)

    def wanted(self, compiled: Compiled) -> bool:
        """Whether a result that came back still has someone waiting for it; true once."""
        if self._waiting.get(compiled.request.id) is not compiled.request:
            return False
        del self._waiting[compiled.request.id]
        return True

    def close(self) -> None:
        """Start nothing more; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, request: Request, structure: Structure) -> None:
        result: Matcher | InvalidRequestError
        try:
            result = self._compile(structure)
        except InvalidRequestError as error:
            result = error
        except BaseException as error:  # also a panic of the library must come back, or the request would wait for ever
            log.exception("compiling a %s failed", structure.kind)
            result = InvalidRequestError(f"structure: it cannot be compiled: {type(error).__name__}", "structure")
        self._put(Compiled(request, result))
