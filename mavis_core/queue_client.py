"""The event loop's side of an engine that runs elsewhere: who waits for what, how many may, and in what state it is.

One inbox for all requests and aborts; one outbox per request, so a slow reader holds back nobody, and its own outbox
is bounded by its own answer. The event loop never runs a tensor operation. Where the engine runs is the subclass's:
``engine_thread.py`` and ``engine_process.py`` start it, give its events to ``_post``, and wait for its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import assert_never

from mavis_core.client import EngineState
from mavis_core.config import EngineConfig
from mavis_core.engine_loop import Dead, Event, Inbox, Loading, Ready, Stepped, ValuesChanged
from mavis_core.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    MavisError,
    QueueFullError,
)
from mavis_core.messages import Abort, EngineInfo, LoadValue, Request, RequestOutput, StepStats, UnloadValue, failure
from mavis_core.search.driver import search
from mavis_core.search.scorer import SequenceScorer
from mavis_core.seeds import Seeds
from mavis_core.tokenizer import Tokenizer

CLOSE_SECONDS = 5.0
Progress = Callable[[str, float], None]


class QueueClient(ABC):
    """An ``EngineClient`` over an inbox and events.

    Args:
        config: for the bound on requests in flight, and for seeds.
        progress: called on the event loop while the engine loads.
        scorer: of requests that search by rewards.
    """

    def __init__(
        self, config: EngineConfig, progress: Progress | None = None, scorer: SequenceScorer | None = None
    ) -> None:
        self._limit = config.max_num_seqs + config.max_queue
        self._seeds = Seeds(config.seed)
        self._scorer = scorer
        self._held: dict[str, int] = {}
        self._progress = progress or _silent
        self._inbox: Inbox = queue.SimpleQueue()
        self._outbox: dict[str, asyncio.Queue[RequestOutput]] = {}
        self._changes: dict[str, asyncio.Future[EngineInfo]] = {}
        self._callbacks: list[Callable[[StepStats], None]] = []
        self._state: EngineState = "loading"
        self._why = "the model is loading"
        self._info: EngineInfo | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """The policy's, for this process; raises EngineUnavailableError while loading."""

    @abstractmethod
    def _start(self) -> None:
        """Start loading; from then on every event of the engine's loop goes to ``_post``."""

    @abstractmethod
    def _join(self) -> None:
        """Wait for the engine's end, which None in the inbox has asked for; off the event loop, any number of times."""

    def start(self) -> None:
        """Start loading; call on the event loop that will serve."""
        self._loop = asyncio.get_running_loop()
        self._start()

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
    def info(self) -> EngineInfo:
        if self._info is None:
            raise EngineUnavailableError(self._why)
        return self._info

    @property
    def in_flight(self) -> int:
        """Places that are taken, one for each choice."""
        return sum(self._held.values())

    def on_step(self, callback: Callable[[StepStats], None]) -> None:
        self._callbacks.append(callback)

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        params = request.guidance.search
        self._hold(request)
        request = self._seeds.seeded(request)  # in the order of arrival, which the engine may not keep
        try:
            if params is None:
                outputs = self._run(request)
            else:
                outputs = search(self._run, request, self.info, self.tokenizer, self._scorer)
            async with contextlib.aclosing(outputs):
                async for output in outputs:
                    yield output
        finally:
            del self._held[request.id]
            if not self._held:
                self._idle.set()

    def _hold(self, request: Request) -> None:
        """Take the places of a request for as long as it runs: between its rounds a search keeps its own."""
        request_id, places = request.id, request.places
        if self._state != "ready":
            raise EngineUnavailableError(self._why)
        if places > self._limit:
            param = "n" if request.guidance.search is None else "guidance.search"
            raise InvalidRequestError(f"{param} takes {places} rows: this server has {self._limit} places", param)
        if (taken := self.in_flight) + places > self._limit:
            raise QueueFullError(taken, self._limit)
        if request_id in self._held:
            raise InvalidRequestError(f"request id {request_id!r} is in flight already", "id")
        self._held[request_id] = places
        self._idle.clear()

    async def _run(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        """Outputs of one request of the engine's own kind."""
        if self._state == "dead":
            raise EngineUnavailableError(self._why)
        mine: asyncio.Queue[RequestOutput] = asyncio.Queue()
        self._outbox[request.id] = mine
        self._inbox.put(request)
        finished = False
        try:
            while not finished:
                output = await mine.get()
                finished = output.finished
                if output.exception is not None:
                    raise EngineUnavailableError(self._why) if self.state == "dead" else output.exception
                yield output
        finally:
            del self._outbox[request.id]
            if not finished:
                self._inbox.put(Abort(request.id))

    async def load_value(self, source: str) -> EngineInfo:
        return await self._change(LoadValue(uuid.uuid4().hex, source))

    async def unload_value(self, name: str) -> EngineInfo:
        return await self._change(UnloadValue(uuid.uuid4().hex, name))

    async def _change(self, message: LoadValue | UnloadValue) -> EngineInfo:
        if self._state != "ready":
            raise EngineUnavailableError(self._why)
        done: asyncio.Future[EngineInfo] = asyncio.get_running_loop().create_future()
        self._changes[message.id] = done
        self._inbox.put(message)
        try:
            return await done
        finally:
            del self._changes[message.id]

    async def drain(self, seconds: float) -> bool:
        if self._state == "ready":
            self._state, self._why = "draining", "the server is shutting down"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
        return not self._held

    async def close(self) -> None:
        self._die("the server is shutting down")
        self._inbox.put(None)
        await asyncio.to_thread(self._join)

    def _post(self, event: Event) -> None:
        """Hand an event to the event loop; from any thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(self._handle, event)

    def _handle(self, event: Event) -> None:
        match event:
            case Loading():
                self._progress(event.stage, event.fraction)
            case Ready():
                self._info = event.info
                if self._state == "loading":
                    self._state, self._why = "ready", "ready"
                self._ready.set()
            case Stepped():
                self._deliver(event)
            case ValuesChanged():
                self._answer(event)
            case Dead():
                self._die(event.why)
                self._ready.set()
            case _:
                assert_never(event)

    def _deliver(self, step: Stepped) -> None:
        for output in step.outputs:
            if (mine := self._outbox.get(output.request_id)) is not None:
                mine.put_nowait(output)
        if step.stats is not None:
            for callback in self._callbacks:
                callback(step.stats)

    def _answer(self, change: ValuesChanged) -> None:
        """``info`` changes also where nobody waits for the answer any more."""
        waiting = self._changes.get(change.id)
        if isinstance(change.outcome, MavisError):
            if waiting is not None and not waiting.done():
                waiting.set_exception(change.outcome)
            return
        self._info = change.outcome
        if waiting is not None and not waiting.done():
            waiting.set_result(change.outcome)

    def _die(self, why: str) -> None:
        """Nothing is answered from here on; the first reason stays."""
        if self._state != "dead":
            self._state, self._why = "dead", why
        for request_id, mine in self._outbox.items():
            mine.put_nowait(failure(request_id, 0, self._why))
        for waiting in self._changes.values():
            if not waiting.done():
                waiting.set_exception(EngineUnavailableError(self._why))


def _silent(stage: str, fraction: float) -> None:
    """No progress wanted."""
