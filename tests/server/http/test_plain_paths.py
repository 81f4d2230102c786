"""Paths with control characters reach no route, and so go past nothing that compares paths."""

from __future__ import annotations

from typing import Any

import pytest
from starlette._utils import get_route_path

from server.http.route_path import route_path
from server.http.throttle import LIMITED
from tests.server.conftest import USER, app_client
from tests.server.edge import CHAT, exchange, parsed, served

ENDS = ["%0a", "%0d%0a", "%0d", "%00", "%09", "%7f", "%1b", "%c2%85"]


@pytest.mark.parametrize("path", sorted(LIMITED))
@pytest.mark.parametrize("end", ENDS)
async def test_limits_cannot_be_passed(path: str, end: str) -> None:
    body: dict[str, Any] = {"messages": USER, "prompt": "hi", "input": "hi", "max_tokens": 1}
    async with app_client(requests_per_minute=1) as client:
        for _ in range(2):
            refused = await client.post(path + end, json=body)
            assert refused.status_code == 404
            assert "has a control character" in refused.json()["error"]["message"]
            assert refused.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health%0a"), ("GET", "/%0a"), ("GET", "/metrics%0a"), ("GET", "/v1/models%0a"),
        ("GET", "/v1/models/fake/model%0a"), ("GET", "/v1/preferences/ann%0a"), ("DELETE", "/v1/preferences/ann%0a"),
        ("PUT", "/v1/preferences/a%0ab"), ("PUT", "/v1/presets/a%0a"), ("POST", "/tokenize%0a"),
        ("GET", "/mavis.js%0a"), ("GET", "/playground/lib/mavis.js%0a"), ("GET", "/v1/chat/completions/x%0a"),
        ("POST", "/v1/responses%0a/cancel"),
    ],
)  # fmt: skip
async def test_no_route_has_them(method: str, path: str) -> None:
    async with app_client(admin_api_key="a-long-admin-key") as client:
        headers = {"authorization": "Bearer a-long-admin-key"}
        refused = await client.request(method, path, json={"objective_weights": {}}, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
        assert "control character" in refused.json()["error"]["message"]


def test_on_a_socket() -> None:
    with served() as port:
        line = CHAT.replace(b"completions ", b"completions%0a ").replace(b"Host", b"Connection: close\r\nHost")
        assert parsed(exchange(port, line + b"Content-Length: 2\r\n\r\n{}"))[0] == 404


@pytest.mark.parametrize("root", ["", "/mavis", "/v1", "/a/b"])
@pytest.mark.parametrize("rest", ["", "/", "/v1/chat/completions", "x", "s/v1/models", "/mavis/v1/models", "/v1"])
def test_as_starlette_sees_them(root: str, rest: str) -> None:
    for path in (root + rest, rest):
        scope = {"path": path, "root_path": root}
        assert route_path(scope) == get_route_path(scope)
