from __future__ import annotations

import logging

import httpx
import pytest

from tests.server.conftest import USER, make_app
from tests.server.fake_engine import FakeEngine


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer right", 200),
        ("bearer  other", 200),
        ("Bearer wrong", 401),
        ("Bearer", 401),
        ("Basic right", 401),
        ("Bearer righ", 401),
        ("Bearer right,other", 401),
        ("", 401),
    ],
)
async def test_keys(header: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "server")
    transport = httpx.ASGITransport(make_app(FakeEngine(), api_key="right,other"))
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        headers = {"authorization": header}
        response = await client.post("/v1/chat/completions", json={"messages": USER}, headers=headers)
        assert response.status_code == status
        if status == 401:
            assert response.json()["error"]["code"] == "invalid_api_key"
            assert response.headers["x-request-id"]
        for path, want in (("/health", 200), ("/ready", 200), ("/metrics", status), ("/nope", max(status, 401))):
            got = (await client.get(path, headers=headers)).status_code
            assert got == (404 if path == "/nope" and status == 200 else want)
    assert "right" not in caplog.text
