"""What becomes of a server whose engine has died: a process that was killed, or steps that failed again and again.

A server that answers 503 for ever helps nobody. By default it ends, and whatever started it starts it anew; with an
engine process it can load that again instead, which keeps its port and everything but the values that were loaded at
run time. An engine that could not be loaded always ends it: the next try would find the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, Protocol

from mavis_core.api.engine_client import EngineState

OnDeath = Literal["exit", "restart", "stay"]

log = logging.getLogger(__name__)


class WatchedEngine(Protocol):
    """Of ``mavis_core.process.queue_client.QueueClient`` what is asked here."""

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
    """Until the engine's death ends the server, or for ever.

    Args:
        ready: called each time that it has loaded.
        give_up: called once with the reason of a death that ends the server.
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
