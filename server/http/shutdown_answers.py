"""Answers requests whose task is cancelled, which happens only when the server ends.

uvicorn answers those with a plain-text 500. Here they get the 503 of a server that shuts down, in the shape of every
other error; a stream that has begun breaks off, which its client notices.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mavis_core.api.errors import EngineUnavailableError
from server.errors import respond


class ShutdownAnswers:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if begun or scope["type"] != "http":
                raise
            await respond(EngineUnavailableError("the server is shutting down"))(scope, receive, send)
