"""CORS: off unless asked for; preflights need no key; refusals can be read by the page that caused them."""

from __future__ import annotations

from typing import Any

import pytest

from mavis_core.api.errors import ConfigError
from server.settings import load_settings
from tests.server.conftest import USER, app_client

CHAT = "/v1/chat/completions"
ORIGIN = {"origin": "https://app.example"}
PREFLIGHT = ORIGIN | {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-objective-weights",
}


async def test_off_by_default() -> None:
    async with app_client() as client:
        assert (await client.options(CHAT, headers=PREFLIGHT)).status_code == 405
        answer = await client.post(CHAT, json={"messages": USER}, headers=ORIGIN)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origins", ["*", "https://app.example", '["https://app.example"]'])
async def test_preflights_need_no_key(origins: str) -> None:
    async with app_client(api_key="the-key", allowed_origins=origins) as client:
        preflight = await client.options(CHAT, headers=PREFLIGHT)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] in ("*", ORIGIN["origin"])
        assert "x-objective-weights" in preflight.headers["access-control-allow-headers"]
        refused = await client.post(CHAT, json={"messages": USER}, headers=ORIGIN)
        assert refused.status_code == 401
        assert "access-control-allow-origin" in refused.headers
        exposed = refused.headers["access-control-expose-headers"]
        assert {"x-request-id", "retry-after", "x-ratelimit-remaining-tokens"} <= set(exposed.split(", "))


async def test_other_origins_and_methods_are_refused() -> None:
    settings: dict[str, Any] = {"allowed_origins": "https://app.example", "allowed_methods": "GET"}
    async with app_client(**settings) as client:
        assert (await client.options(CHAT, headers=PREFLIGHT)).status_code == 400
        get = PREFLIGHT | {"access-control-request-method": "GET"}
        assert (await client.options(CHAT, headers=get)).status_code == 200
        assert (await client.options(CHAT, headers=get | {"origin": "https://evil.example"})).status_code == 400


@pytest.mark.parametrize("origins", [None, "*"])
def test_cookies_only_for_named_origins(origins: str | None) -> None:
    with pytest.raises(ConfigError, match="--allow-credentials needs"):
        load_settings(allow_credentials=True, allowed_origins=origins)
    load_settings(allow_credentials=True, allowed_origins="https://app.example")
