"""A request that was served before opens no file: a server that is out of descriptors goes on with those it has.

Metrics of the process itself are read from the kernel; prometheus_client leaves out those that cannot be opened.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from server.version import package_version
from tests.server.conftest import USER, app_client

ADMIN = "admin-key-0123456789"
CHAT: dict[str, Any] = {"messages": USER, "max_tokens": 2}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
REQUESTS: list[tuple[str, str, Any]] = [
    ("PUT", "/v1/preferences/u", {"objective_weights": {"cheerful": 1}}),
    ("PUT", "/v1/presets/p", {"objective_weights": {"cheerful": 1}}),
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/chat/completions", CHAT | {"stream": True}),
    ("POST", "/v1/chat/completions", CHAT | {"user": "u"}),
    ("POST", "/v1/chat/completions", CHAT | {"model": "fake/model:p", "response_format": SCHEMA}),
    ("POST", "/v1/chat/completions", CHAT | {"modle": "x"}),
    ("POST", "/v1/completions", {"prompt": ["a", "b"], "max_tokens": 2}),
    ("POST", "/v1/responses", {"input": "hi", "max_output_tokens": 2}),
    ("POST", "/tokenize", {"prompt": "hi"}),
    ("POST", "/detokenize", {"tokens": [65]}),
    ("GET", "/v1/preferences/u", None),
    ("GET", "/v1/presets", None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/objectives", None),
    ("GET", "/v1/values", None),
    ("GET", "/version", None),
    ("GET", "/health", None),
    ("GET", "/ready", None),
    ("GET", "/metrics", None),
    ("GET", "/openapi.json", None),
    ("GET", "/nowhere", None),
]
watching: list[list[str]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """On the event loop and the database's threads; others may be left from other tests."""
    thread = threading.current_thread()
    mine = thread is threading.main_thread() or thread.name.startswith("database")
    if watching and mine and event in ("open", "os.listdir", "os.scandir", "sqlite3.connect"):
        watching[-1].append(f"{event} {arguments[0]}")


@pytest.fixture(scope="module", autouse=True)
def hook() -> None:
    sys.addaudithook(_watch)  # for good; it does nothing unless somebody watches


@contextmanager
def opened() -> Iterator[list[str]]:
    watching.append([])
    try:
        yield watching[-1]
    finally:
        watching.pop()


async def ask(client: httpx.AsyncClient, method: str, path: str, body: Any) -> httpx.Response:
    return await client.request(method, path, json=body, headers={"authorization": f"Bearer {ADMIN}"})


async def test_a_request_opens_no_file(tmp_path: Any) -> None:
    async with app_client(
        admin_api_key=ADMIN, requests_per_minute=1000, database=f"sqlite:///{tmp_path / 'mavis.db'}"
    ) as client:
        first = [(await ask(client, *request)).status_code for request in REQUESTS]
        assert max(first) < 500
        for request, status in zip(REQUESTS, first, strict=True):
            with opened() as found:
                again = await ask(client, *request)
            assert again.status_code == status
            unread = [each for each in found if request[1] != "/metrics" or "/proc/" not in each]
            assert not unread, request


def test_the_version_is_read_once() -> None:
    package_version.cache_clear()
    with opened() as found:
        package_version()
    assert found
    with opened() as found:
        package_version()
    assert not found
