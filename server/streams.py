"""Server-sent events: FastAPI's own event-stream response around an ``Answer``.

Not sse-starlette: it replaces uvicorn's signal handler for the whole process and cuts every stream at SIGTERM, where
ours drain. Keep-alive comments are not needed: the response starts with the first token and each step brings another.

The engine's iterator is closed whatever happens to the response, before its first byte or in the middle of a blocked
write, and closing it is what aborts the request.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

import orjson
from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from mavis_core.errors import MavisError
from mavis_core.messages import RequestOutput
from server.answers.base import Answer
from server.errors import error_body

log = logging.getLogger(__name__)
DONE = b"data: [DONE]\n\n"
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
    """Chunks as events, one write per engine step; an error becomes an event in OpenAI's error shape."""
    try:
        yield frame(answer.chunks(*first))
        async for prompt, output in outputs:
            chunks = answer.chunks(prompt, output)
            if chunks:
                yield frame(chunks)
        yield frame(answer.last_chunks()) + DONE
    except MavisError as error:
        yield frame([orjson.dumps(error_body(error))]) + DONE
    except Exception as error:
        log.exception("stream %s failed", answer.id)
        yield frame([orjson.dumps(error_body(error))]) + DONE


def frame(chunks: list[bytes]) -> bytes:
    """JSON has no line breaks, so each chunk is one ``data:`` line."""
    return b"".join(b"data: " + chunk + b"\n\n" for chunk in chunks)
