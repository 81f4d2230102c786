"""A load generator for streams that costs as little as it can: answers are kept, and looked at once they are over.

    python -m benchmarks.stream_client PORT CLIENTS < request

sends the bytes of its standard input that many times at once and waits for all answers, so that clients may be a
process of their own, without torch.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import cast

import uvloop


class Client(asyncio.Protocol):
    """One streaming request that keeps the bytes and looks at them once the answer is over.

    Not httpx: its clients spend more per chunk than the server does, on the cores that the engine needs; a
    load generator should cost as little as it can.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.received = bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)

    def completion_tokens(self) -> int:
        """What the usage chunk says; the status must be 200 and the stream whole."""
        assert self.received.startswith(b"HTTP/1.1 200 "), self.received[:500]
        assert b"data: [DONE]" in self.received
        (found,) = re.findall(rb'"completion_tokens":(\d+)', self.received)
        return int(found)


async def stream(port: int, clients: int, request: bytes) -> list[Client]:
    """That many clients whose answers, to the same request, are over."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Client(request), "127.0.0.1", port) for _ in range(clients)]
    await asyncio.gather(*(client.done for _, client in made))
    return [client for _, client in made]


if __name__ == "__main__":
    for over in uvloop.run(stream(int(sys.argv[1]), int(sys.argv[2]), sys.stdin.buffer.read())):
        over.completion_tokens()
