"""The event loop's side of an engine that runs elsewhere: who waits for what, how many may, and in what state it is.

One inbox for all requests and aborts; one outbox per request, so a slow reader holds back nobody. A request gives its
places back when the engine has done with it, read or not. So what waits to be read is not bounded by the places: it is
the rest of one answer (its choices times ``max_model_len`` tokens at most) for every response that is open, and how
many of those there are, and for how long nobody may read them, is the server's to bound.

The event loop never runs a tensor operation. Where the engine runs is the subclass's: ``engine_thread.py`` and
``engine_process.py`` start it, give its events to ``_post``, and wait for its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import assert_never

from mavis_core.api.config import EngineConfig
from mavis_core.api.engine_client import EngineState
from mavis_core.api.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    MavisError,
    QueueFullError,
)
from mavis_core.api.messages import Abort, EngineInfo, LoadValue, Request, RequestOutput, StepStats, UnloadValue
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.process.engine_loop import Dead, EngineEvent, Inbox, Loading, Ready, Stepped, ValuesChanged
from mavis_core.schedule.seeds import Seeds
from mavis_core.search.driver import search
from mavis_core.search.scorer import SequenceScorer

CLOSE_SECONDS = 5.0
NOTHING_RUNS = StepStats(0, 0, 0, 0, 0, 0.0, 0.0, 0.0, idle=True)
LoadProgress = Callable[[str, float], None]


@dataclass(eq=False, slots=True)
class Outbox:
    """What came of a request and is not read yet; ``places`` are those it holds until its last output is here."""

    places: int
    outputs: asyncio.Queue[RequestOutput | Exception] = field(default_factory=asyncio.Queue)

    async def read(self) -> RequestOutput:
        """The next output; raises what went wrong."""
        output = await self.outputs.get()
        if isinstance(output, Exception):
            raise output
        if output.exception is not None:
            raise output.exception
        return output


class QueueClient(ABC):
    """An ``EngineClient`` over an inbox and events.

    Args:
        config: for the bound on requests in flight, and for seeds.
        progress: called on the event loop while the engine loads.
        scorer: of requests that search by rewards.
    """

    def __init__(
        self, config: EngineConfig, progress: LoadProgress | None = None, scorer: SequenceScorer | None = None
    ) -> None:
        self._limit = config.max_num_seqs + config.max_queue
        self._seeds = Seeds(config.seed)
        self._scorer = scorer
        self._progress = progress or _silent
        self._inbox: Inbox = queue.SimpleQueue()
        self._outbox: dict[str, Outbox] = {}  # of the requests that the engine has not done with
        self._changes: dict[str, asyncio.Future[EngineInfo]] = {}
        self._callbacks: list[Callable[[StepStats], None]] = []
        self._state: EngineState = "loading"
        self._why = "the model is loading"
        self._info: EngineInfo | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = asyncio.Event()
        self._died = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """The policy's, for this process; raises EngineUnavailableError while loading."""

    @property
    @abstractmethod
    def stopped(self) -> bool:
        """Nothing of the engine runs any more: the interpreter can end."""

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

    async def wait_dead(self) -> None:
        """Until the engine has died, while loading or later; not at being closed."""
        await self._died.wait()

    def restart(self) -> None:
        """After its death, load it anew as it was at the start; meanwhile new requests are refused."""
        assert self._state == "dead"
        self._ready.clear()
        self._died.clear()
        self._state, self._why = "loading", "the model is loading again"
        self._inbox.put(None)  # whoever still listens there
        self._inbox = queue.SimpleQueue()
        self._start()

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
        return sum(outbox.places for outbox in self._outbox.values())

    def on_step(self, callback: Callable[[StepStats], None]) -> None:
        self._callbacks.append(callback)

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        outbox = self._admit(request)
        request = self._seeds.seeded(request)  # in the order of arrival, which the engine may not keep
        run = self._run if request.guidance.search is None else self._search
        outputs = run(request, outbox)
        async with contextlib.aclosing(outputs):
            async for output in outputs:
                yield output

    def _admit(self, request: Request) -> Outbox:
        """Take the places of a request for as long as it runs: between its rounds a search keeps its own."""
        request_id, places = request.id, request.places
        if self._state != "ready":
            raise EngineUnavailableError(self._why)
        if places > self._limit:
            param = "n" if request.guidance.search is None else "guidance.search"
            raise InvalidRequestError(f"{param} takes {places} rows: this server has {self._limit} places", param)
        if (taken := self.in_flight) + places > self._limit:
            raise QueueFullError(taken, self._limit)
        if request_id in self._outbox:
            raise InvalidRequestError(f"request id {request_id!r} is in flight already", "id")
        return self._open(request_id, places)

    def _open(self, request_id: str, places: int) -> Outbox:
        outbox = self._outbox[request_id] = Outbox(places)
        self._idle.clear()
        return outbox

    def _close(self, request_id: str, outbox: Outbox) -> bool:
        """Give the request's places back; False where that was done, and the id may be another request's by now."""
        if self._outbox.get(request_id) is not outbox:
            return False
        del self._outbox[request_id]
        if not self._outbox:
            self._idle.set()
        return True

    async def _run(self, request: Request, outbox: Outbox) -> AsyncGenerator[RequestOutput, None]:
        """Outputs of one request of the engine's own kind."""
        self._inbox.put(request)
        finished = False
        try:
            while not finished:
                output = await outbox.read()
                finished = output.finished
                yield output
        finally:
            if self._close(request.id, outbox):
                self._inbox.put(Abort(request.id))

    async def _round(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        """Outputs of one request of a search, which holds the places."""
        if self._state == "dead":
            raise EngineUnavailableError(self._why)
        async with contextlib.aclosing(self._run(request, self._open(request.id, 0))) as outputs:
            async for output in outputs:
                yield output

    async def _search(self, request: Request, outbox: Outbox) -> AsyncGenerator[RequestOutput, None]:
        """Outputs of a search, which goes on at its own pace, not at its reader's."""
        searching = asyncio.ensure_future(self._go_on(request, outbox))
        finished = False
        try:
            while not finished:
                output = await outbox.read()
                finished = output.finished
                yield output
        finally:
            searching.cancel()
            await asyncio.gather(searching, return_exceptions=True)
            self._close(request.id, outbox)

    async def _go_on(self, request: Request, outbox: Outbox) -> None:
        try:
            found = search(self._round, request, self.info, self.tokenizer, self._scorer)
            async with contextlib.aclosing(found):
                async for output in found:
                    outbox.outputs.put_nowait(output)
        except Exception as error:  # its reader raises it
            outbox.outputs.put_nowait(error)
        finally:
            self._close(request.id, outbox)

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
        return not self._outbox

    async def close(self) -> None:
        self._die("the server is shutting down")
        self._inbox.put(None)
        await asyncio.to_thread(self._join)

    def _post(self, event: EngineEvent) -> None:
        """Hand an event to the event loop; from any thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(self._handle, event)

    def _handle(self, event: EngineEvent) -> None:
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
                if self._state != "dead":
                    self._died.set()
                self._die(event.why)
                self._ready.set()
            case _:
                assert_never(event)

    def _deliver(self, step: Stepped) -> None:
        for output in step.outputs:
            if (mine := self._outbox.get(output.request_id)) is not None:
                mine.outputs.put_nowait(output)
                if output.finished:
                    self._close(output.request_id, mine)
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
            for callback in self._callbacks:
                callback(NOTHING_RUNS)
        for request_id, mine in list(self._outbox.items()):
            mine.outputs.put_nowait(EngineUnavailableError(self._why))
            self._close(request_id, mine)
        for waiting in self._changes.values():
            if not waiting.done():
                waiting.set_exception(EngineUnavailableError(self._why))


def _silent(stage: str, fraction: float) -> None:
    """No progress wanted."""
