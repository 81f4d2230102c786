"""The event loop's side of an engine on a thread or in a process: requests in flight, their limit, the engine's state.

There is one inbox for all requests and aborts, and one outbox per request, so a slow reader holds back nobody else. A
request gives its places back when the engine has finished it, whether its outputs were read or not. So the places do
not bound what waits to be read, which is the rest of one answer (at most its choices times ``max_model_len`` tokens)
for every open response; how many responses are open, and how long they may stay unread, the server bounds.

The event loop never runs a tensor operation. The subclasses in ``engine_thread.py`` and ``engine_process.py`` start the
engine, give its events to ``_post``, and wait for its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, assert_never

from mavis_core.api.config import EngineConfig
from mavis_core.api.engine_client import EngineState
from mavis_core.api.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    MavisError,
    QueueFullError,
    UnknownRequestError,
)
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Abort, EngineInfo, LoadValue, Request, RequestOutput, Steer, StepStats, UnloadValue
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.process.engine_loop import (
    Build,
    Dead,
    EngineEvent,
    Inbox,
    Loading,
    LoadProgress,
    Ready,
    Steered,
    Stepped,
    ValuesChanged,
)
from mavis_core.process.outbox import Outbox
from mavis_core.schedule.seeds import Seeds
from mavis_core.search.driver import search
from mavis_core.search.scorer import SequenceScorer, rewards_of

CLOSE_SECONDS = 5.0
NOTHING_RUNS = StepStats(0, 0, 0, 0, 0, 0.0, 0.0, 0.0, idle=True)


class QueueClient(ABC):
    """An ``EngineClient`` over an inbox and events.

    Args:
        build: makes the engine, where it runs; reports (stage, fraction done).
        config: for the bound on requests in flight, and for seeds.
        progress: called on the event loop while the engine loads.
        scorer: for requests that search by rewards, and answers that are given to be scored.
    """

    def __init__(
        self,
        build: Build,
        config: EngineConfig,
        progress: LoadProgress | None = None,
        scorer: SequenceScorer | None = None,
    ) -> None:
        self._build = build
        self._limit = config.max_num_seqs + config.max_queue
        self._seeds = Seeds(config.seed)
        self._scorer = scorer
        self._progress = progress or _silent
        self._inbox: Inbox = queue.SimpleQueue()
        self._outbox: dict[str, Outbox] = {}  # of the requests that the engine has not finished
        self._asked: dict[str, asyncio.Future[Any]] = {}  # by the id of the message that asks
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
        """The policy's tokenizer, for use in this process; raises EngineUnavailableError while loading."""

    @property
    @abstractmethod
    def stopped(self) -> bool:
        """Whether no thread or process of the engine runs any more, so that the interpreter can end."""

    @abstractmethod
    def _start(self) -> None:
        """Start loading; from then on every event of the engine's loop goes to ``_post``, beside the inbox of now."""

    @abstractmethod
    def _join(self) -> None:
        """Wait until the engine has ended, after None in the inbox; called off the event loop, perhaps repeatedly."""

    def start(self) -> None:
        """Start loading; call on the event loop that will serve."""
        self._loop = asyncio.get_running_loop()
        self._start()

    async def wait_ready(self) -> None:
        """Wait until the engine is ready or dead."""
        await self._ready.wait()

    async def wait_dead(self) -> None:
        """Wait until the engine has died, while loading or later; being closed does not count."""
        await self._died.wait()

    def restart(self) -> None:
        """Load an engine that has died again, as it was at the start; meanwhile new requests are refused."""
        assert self._state == "dead"
        self._ready.clear()
        self._died.clear()
        self._state, self._why = "loading", "the model is loading again"
        self._inbox.put(None)  # ends the old engine, should it still be listening
        self._inbox = queue.SimpleQueue()
        self._start()

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def reason(self) -> str:
        """Why the engine is in its state, in words."""
        return self._why

    @property
    def info(self) -> EngineInfo:
        if self._info is None:
            raise EngineUnavailableError(self._why)
        return self._info

    @property
    def in_flight(self) -> int:
        """How many places are taken, one for each choice."""
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
        """Take the places of a request for as long as it runs; a search keeps its places between its rounds."""
        request_id, places = request.id, request.places
        if self._state != "ready":
            raise EngineUnavailableError(self._why)
        if places > self._limit:
            alone = request.sampling.n == 1 and len(request.prompts) > 1
            many = "answers" if request.answers else "n"
            param = "guidance.search" if request.guidance.search else "objective_weights" if alone else many
            raise InvalidRequestError(f"{param} takes {places} rows: this server has {self._limit} places", param)
        if (taken := self.in_flight) + places > self._limit:
            raise QueueFullError(taken, self._limit)
        if request_id in self._outbox:
            raise InvalidRequestError(f"request id {request_id!r} is in flight already", "id")
        return self._open(request, places)

    def _open(self, request: Request, places: int) -> Outbox:
        outbox = self._outbox[request.id] = Outbox(request, places)
        self._idle.clear()
        return outbox

    def _close(self, request_id: str, outbox: Outbox) -> bool:
        """Give the request's places back; False if that was done: the id may be another request's by now."""
        if self._outbox.get(request_id) is not outbox:
            return False
        del self._outbox[request_id]
        if not self._outbox:
            self._idle.set()
        return True

    async def _run(self, request: Request, outbox: Outbox) -> AsyncGenerator[RequestOutput, None]:
        """The outputs of one request that does not search."""
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
        """The outputs of one request of a search, which itself holds the places."""
        if self._state == "dead":
            raise EngineUnavailableError(self._why)
        async with contextlib.aclosing(self._run(request, self._open(request, 0))) as outputs:
            async for output in outputs:
                yield output

    async def _search(self, request: Request, outbox: Outbox) -> AsyncGenerator[RequestOutput, None]:
        """The outputs of a search, which does not wait for its reader."""
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
                    outbox.put(output)
        except Exception as error:  # raised where the outputs are read
            outbox.put(error)
        finally:
            self._close(request.id, outbox)

    async def rewards(self, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> list[dict[str, float]] | None:
        if self._scorer is None:
            return None
        return await asyncio.to_thread(rewards_of, self._scorer, self.tokenizer, prompt, answers)

    async def steer(
        self, request_id: str, guidance: Guidance, prompted: tuple[PromptedObjective, ...] | None = None
    ) -> tuple[int, ...]:
        outbox = self._outbox.get(request_id)
        if outbox is None:
            raise UnknownRequestError(request_id)
        if outbox.request.guidance.search is not None:
            raise InvalidRequestError(
                "guidance.search: an answer that is searched for cannot be steered otherwise meanwhile: its texts are "
                "compared by what they were begun with",
                "guidance.search",
            )
        request, before = outbox.request.steered(guidance, prompted), outbox.places
        if (taken := self.in_flight) - before + request.places > self._limit and request.places > before:
            raise QueueFullError(taken, self._limit)
        outbox.places = max(before, request.places)
        try:
            numbers: tuple[int, ...] = await self._ask(Steer(uuid.uuid4().hex, request_id, guidance, prompted))
        except BaseException:
            outbox.places = before
            raise
        outbox.request, outbox.places = request, request.places
        return numbers

    async def load_value(self, source: str) -> EngineInfo:
        return await self._change(LoadValue(uuid.uuid4().hex, source))

    async def unload_value(self, name: str) -> EngineInfo:
        return await self._change(UnloadValue(uuid.uuid4().hex, name))

    async def _change(self, message: LoadValue | UnloadValue) -> EngineInfo:
        if self._state != "ready":
            raise EngineUnavailableError(self._why)
        info: EngineInfo = await self._ask(message)
        return info

    async def _ask(self, message: LoadValue | UnloadValue | Steer) -> Any:
        """Send a message that one event answers; raises what that brings, or EngineUnavailableError."""
        done = self._asked[message.id] = asyncio.get_running_loop().create_future()
        self._inbox.put(message)
        try:
            return await done
        finally:
            del self._asked[message.id]

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

    def _post(self, inbox: Inbox, event: EngineEvent) -> None:
        """Hand an event of the engine that ``inbox`` feeds to the event loop; from any thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(self._handle, inbox, event)

    def _handle(self, inbox: Inbox, event: EngineEvent) -> None:
        if inbox is not self._inbox:
            return  # the last words of an engine that another one has taken the place of
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
                if isinstance(event.outcome, EngineInfo):
                    self._info = event.outcome  # even if nobody waits for it any more
                self._answer(event)
            case Steered():
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
                mine.put(output)
                if output.finished:
                    self._close(output.request_id, mine)
        if step.stats is not None:
            for callback in self._callbacks:
                callback(step.stats)

    def _answer(self, event: ValuesChanged | Steered) -> None:
        """Answer whoever has asked for a change, if anybody still waits."""
        waiting = self._asked.get(event.id)
        if waiting is None or waiting.done():
            return
        if isinstance(event.outcome, MavisError):
            waiting.set_exception(event.outcome)
        else:
            waiting.set_result(event.outcome)

    def _die(self, why: str) -> None:
        """Fail every request from now on; the first reason given stays."""
        if self._state != "dead":
            self._state, self._why = "dead", why
            for callback in self._callbacks:
                callback(NOTHING_RUNS)
        for request_id, mine in list(self._outbox.items()):
            mine.put(EngineUnavailableError(self._why))
            self._close(request_id, mine)
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(EngineUnavailableError(self._why))


def _silent(stage: str, fraction: float) -> None:
    """The default ``progress``: nothing is shown."""
