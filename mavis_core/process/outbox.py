"""Where a request's outputs wait for their reader: from the engine's loop once a step, on the event loop.

A reader that comes late, because the event loop has more to do than fits into a step or because its client is slow,
gets all that is there as one output. What it does with an output costs much the same however many tokens that has, so a
busy event loop catches up.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
    _unread: deque[RequestOutput | Exception] = field(default_factory=deque)
    _arrival: asyncio.Future[None] | None = None  # that the one reader waits for

    def put(self, output: RequestOutput | Exception) -> None:
        self._unread.append(output)
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def read(self) -> RequestOutput:
        """All that has come since, at least one output; raises the error that ended the request, once it is next."""
        while not self._unread:
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        if (error := _error(self._unread[0])) is not None:
            raise error
        found = []
        while self._unread and _error(self._unread[0]) is None:
            found.append(self._unread.popleft())
        return merged(found)


def _error(output: RequestOutput | Exception) -> Exception | None:
    return output if isinstance(output, Exception) else output.exception


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
