"""Engine clients in tests: started and closed again, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mavis_core.process.queue_client import QueueClient


@asynccontextmanager
async def running(client: QueueClient) -> AsyncIterator[None]:
    client.start()
    await client.wait_ready()
    try:
        yield
    finally:
        await client.close()


async def until(condition: Callable[[], bool]) -> None:
    """Ten seconds at most."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")
