"""What a body must be before a request model sees it."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from mavis_core.api.errors import InvalidRequestError
from server.http.body import read_json


def read(body: bytes) -> object:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}
    return asyncio.run(read_json(Request(scope, receive), 1 << 20))


@pytest.mark.parametrize("depth", [255, 900])
def test_what_orjson_reads_but_cannot_write_is_refused(depth: int) -> None:
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        read(b'{"a":' * depth + b"1" + b"}" * depth)


def test_usual_nesting_is_read() -> None:
    assert read(b'{"a":' * 100 + b"1" + b"}" * 100)
