"""The engine on a thread of its own, two queues between it and the event loop.

In: an inbox of requests and aborts, drained before every step. Out: one hand-over to the loop per step, which
puts each request's output on that request's own queue; so a slow reader holds back nobody, and its own queue
is bounded by its own answer. The loop never runs a tensor operation; the thread never awaits.
Torch is imported by ``build``, on the thread, so a server can open its port before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from mavis_core.client import EngineState
from mavis_core.config import EngineConfig
from mavis_core.errors import EngineUnavailableError, InvalidRequestError, LoadError, QueueFullError
from mavis_core.messages import Abort, EngineInfo, Request, RequestOutput, StepStats, failure

if TYPE_CHECKING:
    from mavis_core.engine import Engine

log = logging.getLogger(__name__)

MAX_FAILURES = 3
Progress = Callable[[str, float], None]


class EngineThread:
    """An ``EngineClient`` over an engine that is built and run on a thread.

    Args:
        build: makes the engine, on the thread; reports (stage, fraction done).
        config: for the bound on requests in flight.
        progress: called on the thread while building.
    """

    def __init__(
        self, build: Callable[[Progress], Engine], config: EngineConfig, progress: Progress | None = None
    ) -> None:
        self._build = build
        self._progress = progress or _silent
        self._limit = config.max_num_seqs + config.max_queue
        self._inbox: queue.SimpleQueue[Request | Abort | None] = queue.SimpleQueue()
        self._outbox: dict[str, asyncio.Queue[RequestOutput]] = {}
        self._callbacks: list[Callable[[StepStats], None]] = []
        self._state: EngineState = "loading"
        self._why = "the model is loading"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._engine: Engine | None = None
        self._thread = threading.Thread(target=self._run, name="mavis-engine", daemon=True)

    def start(self) -> None:
        """Start loading; call on the event loop that will serve."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def wait_ready(self) -> None:
        """Until the engine is ready or dead."""
        await self._ready.wait()

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def reason(self) -> str:
        """Why the engine is in its state, for people."""
        return self._why

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise EngineUnavailableError(self._why)
        return self._engine

    @property
    def info(self) -> EngineInfo:
        return self.engine.info

    @property
    def in_flight(self) -> int:
        return len(self._outbox)

    def on_step(self, callback: Callable[[StepStats], None]) -> None:
        self._callbacks.append(callback)

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        if self._state != "ready":
            raise EngineUnavailableError(self._why)
        if len(self._outbox) >= self._limit:
            raise QueueFullError(len(self._outbox), self._limit)
        if request.id in self._outbox:
            raise InvalidRequestError(f"request id {request.id!r} is in flight already", "id")
        mine: asyncio.Queue[RequestOutput] = asyncio.Queue()
        self._outbox[request.id] = mine
        self._idle.clear()
        self._inbox.put(request)
        finished = False
        try:
            while not finished:
                output = await mine.get()
                finished = output.finished
                if output.error is not None:
                    raise _as_exception(output)
                yield output
        finally:
            del self._outbox[request.id]
            if not self._outbox:
                self._idle.set()
            if not finished:
                self._inbox.put(Abort(request.id))

    async def drain(self, seconds: float) -> bool:
        if self._state == "ready":
            self._state, self._why = "draining", "the server is shutting down"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
        return not self._outbox

    async def close(self) -> None:
        if self._state != "dead":
            self._state, self._why = "dead", "the server is shutting down"
        self._fail_all(self._why)
        self._inbox.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 5.0)

    # Below here: the engine's thread, except where a name says loop.

    def _run(self) -> None:
        try:
            engine = self._build(self._progress)
        except LoadError as error:
            log.error("loading failed: %s", error)
            self._die(f"loading failed: {error}")
            return
        except Exception as error:
            log.exception("loading failed")
            self._die(f"loading failed: {error}")
            return
        self._post(self._loop_ready, engine)
        failures = 0
        while True:
            if not self._receive(engine):
                return
            if not engine.has_work:
                self._post(self._loop_deliver, [], engine.idle_stats())
                continue
            try:
                outputs = engine.step()
                failures = 0
            except Exception as error:
                log.exception("an engine step failed")
                failures += 1
                outputs = [failure(i, 0, f"the engine failed: {type(error).__name__}") for i in engine.abort_all()]
                if failures >= MAX_FAILURES:
                    self._post(self._loop_deliver, outputs, None)
                    self._die(f"the engine failed {failures} times in a row: {error}")
                    return
            self._post(self._loop_deliver, outputs, engine.last_step)

    def _receive(self, engine: Engine) -> bool:
        """Take what is in the inbox, waiting for it while there is nothing to do; False is the end."""
        block = not engine.has_work
        while True:
            try:
                message = self._inbox.get(block=block)
            except queue.Empty:
                return True
            if message is None:
                return False
            if isinstance(message, Abort):
                engine.abort(message.request_id)
            else:
                self._add(engine, message)
            block = False

    def _add(self, engine: Engine, request: Request) -> None:
        try:
            engine.add(request)
        except InvalidRequestError as error:
            refused = failure(request.id, len(request.prompt_token_ids), str(error), error.param or "")
            self._post(self._loop_deliver, [refused], None)

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *args)

    def _die(self, why: str) -> None:
        self._post(self._loop_dead, why)

    def _loop_ready(self, engine: Engine) -> None:
        self._engine = engine
        if self._state == "loading":
            self._state, self._why = "ready", "ready"
        self._ready.set()

    def _loop_dead(self, why: str) -> None:
        self._state, self._why = "dead", why
        self._fail_all(why)
        self._ready.set()

    def _loop_deliver(self, outputs: list[RequestOutput], stats: StepStats | None) -> None:
        for output in outputs:
            if (mine := self._outbox.get(output.request_id)) is not None:
                mine.put_nowait(output)
        if stats is not None:
            for callback in self._callbacks:
                callback(stats)

    def _fail_all(self, why: str) -> None:
        for request_id, mine in self._outbox.items():
            mine.put_nowait(failure(request_id, 0, why))


def _silent(stage: str, fraction: float) -> None:
    """No progress wanted."""


def _as_exception(output: RequestOutput) -> Exception:
    assert output.error is not None
    if output.error_param is not None:
        return InvalidRequestError(output.error, output.error_param or None)
    return EngineUnavailableError(output.error)
