"""What a server does when its engine has died, because its process was killed or its steps kept failing.

A server that answers 503 for ever helps nobody. By default it exits, so that its supervisor starts it again. With an
engine process it can load the engine again instead, which keeps its port and everything but the values that were loaded
at run time. If the engine cannot be loaded at all, the server always exits: another try would fail likewise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, Protocol

from mavis_core.api.engine_client import EngineState

OnDeath = Literal["exit", "restart", "stay"]

log = logging.getLogger(__name__)


class WatchedEngine(Protocol):
    """The part of ``mavis_core.process.queue_client.QueueClient`` that is used here."""

    @property
    def state(self) -> EngineState: ...

    @property
    def reason(self) -> str: ...

    async def wait_ready(self) -> None: ...

    async def wait_dead(self) -> None: ...

    def restart(self) -> None: ...


async def watch(
    engine: WatchedEngine, on_death: OnDeath, ready: Callable[[], None], give_up: Callable[[str], None]
) -> None:
    """Watch the engine until its death ends the server, or for ever.

    Args:
        ready: called each time that it has loaded.
        give_up: called once, with the reason, when the engine's death ends the server.
    """
    while True:
        await engine.wait_ready()
        loaded = engine.state != "dead"
        if loaded:
            ready()
        await engine.wait_dead()
        if not loaded or on_death == "exit":
            give_up(engine.reason)
            return
        if on_death == "stay":
            log.error("the engine is dead: %s; every request is answered with 503 from here on", engine.reason)
            return
        log.error("the engine is dead: %s; it is loaded anew", engine.reason)
        engine.restart()
