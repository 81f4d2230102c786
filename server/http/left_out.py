"""What of a request was left out, told in a header of its answer and one line of the log.

A middleware, so that errors and streams say it too, and whatever finds out later in a request can add to it.
"""

from __future__ import annotations

import logging
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Ignored-Fields"
MOST = 16  # names that are told
LONGEST = 80  # characters of one of them
PLAIN = "[]._-@:/$*="  # what else needs no %XX; a comma or a line break in a client's name does

log = logging.getLogger(__name__)


class LeftOut:
    """Names of fields as ``messages[].index``, of items as ``tools[].type=web_search``; each once, in their order."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        self._names.setdefault(quote(name[:LONGEST], safe=PLAIN))

    def names(self) -> list[str]:
        """At most ``MOST``; where there are more, the last says how many."""
        names = list(self._names)
        return names if len(names) <= MOST else [*names[:MOST], f"+{len(names) - MOST}"]


def left_out_of(http: Request) -> LeftOut:
    """Of this request; made where there is none yet."""
    found = getattr(http.state, "left_out", None)
    if found is None:
        found = http.state.left_out = LeftOut()
    assert isinstance(found, LeftOut)
    return found


class TellLeftOut:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_names(message: Message) -> None:
            left_out = scope["state"].get("left_out")
            if message["type"] == "http.response.start" and left_out is not None and (names := left_out.names()):
                told = ", ".join(names)
                log.info("request %s: left out %s", scope["state"]["request_id"], told)
                message["headers"] = [*message["headers"], (HEADER.lower().encode(), told.encode("ascii"))]
            await send(message)

        await self._app(scope, receive, send_with_names)
