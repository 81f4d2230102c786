"""Searches over an engine in the same process, without a server: a search that waits for output runs the next step."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mavis_core.api.messages import Request, RequestOutput
from mavis_core.search.driver import search
from mavis_core.search.rounds import all_of
from mavis_core.search.scorer import SequenceScorer

if TYPE_CHECKING:
    from mavis_core.engine import Engine


def run_searches(
    engine: Engine, requests: Sequence[Request], scorer: SequenceScorer | None = None
) -> list[list[RequestOutput]]:
    """The outputs of each request, all searched together; ``engine`` is idle before and after.

    On a thread of its own, because the caller may be inside an event loop (a notebook always is).
    """
    stepping = SteppedEngine(engine)

    async def collect(request: Request) -> list[RequestOutput]:
        outputs = search(stepping.generate, request, engine.info, engine.tokenizer, scorer)
        return [output async for output in outputs]

    async def everything() -> list[list[RequestOutput]]:
        return await all_of([collect(request) for request in requests])

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, everything()).result()


class SteppedEngine:
    """``EngineClient.generate`` over an engine whose only user it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outbox: dict[str, deque[RequestOutput]] = {}

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        self._engine.add(request)
        mine = self._outbox[request.id] = deque()
        finished = False
        try:
            while not finished:
                await asyncio.sleep(0)  # let others add their requests, so that steps are shared
                while not mine:
                    self._step()
                output = mine.popleft()
                if output.exception is not None:
                    finished = True
                    raise output.exception
                finished = output.finished
                yield output
        finally:
            del self._outbox[request.id]
            if not finished:
                self._engine.abort(request.id)

    def _step(self) -> None:
        for output in self._engine.step():
            if output.request_id in self._outbox:
                self._outbox[output.request_id].append(output)
