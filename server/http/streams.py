"""Server-sent events: FastAPI's own event-stream response around an ``Answer``.

Not sse-starlette: it replaces uvicorn's signal handler for the whole process and cuts every stream at SIGTERM, where
ours drain. Keep-alive comments are not needed: the response starts with the first token and each step brings another.

The engine's iterator is closed whatever happens to the response, before its first byte or in the middle of a blocked
write, and closing it is what aborts the request.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from mavis_core.api.errors import MavisError
from mavis_core.api.messages import RequestOutput
from server.answers.answer import Answer

log = logging.getLogger(__name__)
Outputs = AsyncGenerator[tuple[int, RequestOutput], None]


class AnswerStream(EventSourceResponse):
    def __init__(self, answer: Answer, first: tuple[int, RequestOutput], outputs: Outputs) -> None:
        super().__init__(events(answer, first, outputs), headers={"cache-control": "no-store"})
        self._outputs = outputs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._outputs.aclose()


async def events(answer: Answer, first: tuple[int, RequestOutput], outputs: Outputs) -> AsyncGenerator[bytes, None]:
    """One write per engine step; an error becomes the stream's last event."""
    try:
        yield answer.events(*first)
        async for prompt, output in outputs:
            made = answer.events(prompt, output)
            if made:
                yield made
        yield answer.ending()
    except MavisError as error:
        yield answer.failure(error)
    except Exception as error:
        log.exception("stream %s failed", answer.id)
        yield answer.failure(error)
