"""Where a request's outputs wait for their reader: from the engine's loop once a step, on the event loop.

A reader that comes late, because the event loop has more to do than fits into a step or because its client is slow,
gets all that is there as one output. What it does with an output costs much the same however many tokens that has, so a
busy event loop catches up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mavis_core.api.messages import Request, RequestOutput


@dataclass(eq=False, slots=True)
class Outbox:
    """The outputs of a request that are not read yet; it holds ``places`` until its last output is here.

    ``request`` is the one that the engine goes by now; of a search, the whole.
    """

    request: Request
    places: int
    _unread: list[RequestOutput] = field(default_factory=list)
    _failure: Exception | None = None  # that ended it, behind what is unread
    _arrival: asyncio.Future[None] | None = None  # that the one reader waits for

    def put(self, output: RequestOutput | Exception) -> None:
        if isinstance(output, Exception):
            self._failure = self._failure or output
        elif (failed := output.exception) is not None:
            self._failure = self._failure or failed
        else:
            self._unread.append(output)
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def read(self) -> RequestOutput:
        """All that has come since, at least one output; once that is read, raises the error that ended the request."""
        while not self._unread and self._failure is None:
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        found, self._unread = self._unread, []
        if found:
            return merged(found)
        assert self._failure is not None
        raise self._failure


def merged(outputs: Sequence[RequestOutput]) -> RequestOutput:
    """Outputs of one request that follow each other, as one."""
    last = outputs[-1]
    if len(outputs) == 1:
        return last
    return replace(
        last,
        deltas=tuple(delta for output in outputs for delta in output.deltas),
        prompt_logprobs=next((o.prompt_logprobs for o in outputs if o.prompt_logprobs is not None), None),
        cached_tokens=max(output.cached_tokens for output in outputs),
    )
