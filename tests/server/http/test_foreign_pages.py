"""What pages of other origins may do: nothing that changes or generates, and no reading by a name turned to us."""

from __future__ import annotations

from typing import Any

import pytest

from mavis_core.api.errors import ConfigError
from server.settings import load_settings
from tests.server.conftest import USER, app_client
from tests.server.edge import CHAT as CHAT_HEAD
from tests.server.edge import exchange, parsed, served

CHAT = "/v1/chat/completions"
BODY = {"messages": USER, "max_tokens": 1}


async def status(method: str, path: str, headers: dict[str, str], **settings: Any) -> tuple[int, str | None]:
    settings.setdefault("allowed_hosts", ())
    async with app_client(**settings) as client:
        response = await client.request(method, path, json=BODY if method == "POST" else None, headers=headers)
        refused = response.status_code >= 400
        return response.status_code, response.json()["error"]["code"] if refused else None


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST.:1", "127.0.0.1", "127.0.0.1:8000", "127.8.9.10", "[::1]", "[::1]:8000",
     "mavis.localhost:8000"],
)  # fmt: skip
async def test_own_names(host: str) -> None:
    for method, path in (("GET", "/health"), ("POST", CHAT)):
        assert (await status(method, path, {"host": host}))[0] == 200


@pytest.mark.parametrize(
    "host",
    ["rebound.example", "rebound.example:8000", "localhost.rebound.example", "notlocalhost",
     "127.0.0.1.rebound.example", "10.0.0.1", "[2001:db8::1]:8000", "localhost:8000@rebound.example",
     "rebound.example@localhost", "", "[::1", "a b"],
)  # fmt: skip
async def test_other_names_on_loopback_without_keys(host: str) -> None:
    """A page whose name was turned to 127.0.0.1 reads nothing, not even whether we are here."""
    for method, path in (("GET", "/health"), ("GET", "/v1/models"), ("POST", CHAT), ("DELETE", "/v1/preferences/ann")):
        assert await status(method, path, {"host": host}) == (403, "host_not_allowed")
    assert await status("POST", CHAT, {"host": host, "origin": f"http://{host}"}) == (403, "host_not_allowed")


async def test_where_other_names_are_fine() -> None:
    """Keys are what a page does not have; on other addresses our names are many."""
    host = {"host": "mavis.example", "authorization": "Bearer the-key"}
    assert (await status("POST", CHAT, host, api_key="the-key"))[0] == 200
    assert (await status("POST", CHAT, host, host="0.0.0.0", allow_unauthenticated=True))[0] == 200
    assert (await status("POST", CHAT, host, admin_api_key="a-long-admin-key"))[0] == 403


async def test_names_that_are_allowed() -> None:
    allowed = {"allowed_hosts": "mavis.example,*.lan"}
    for host in ("mavis.example", "Mavis.Example:443", "box.lan", "a.box.lan", "localhost"):
        assert (await status("POST", CHAT, {"host": host}, **allowed))[0] == 200
    for host in ("lan", "evil-lan", "mavis.example.evil", "x.mavis.example"):
        assert (await status("POST", CHAT, {"host": host}, **allowed))[0] == 403
    assert (await status("POST", CHAT, {"host": "any.example"}, allowed_hosts="*"))[0] == 200
    configured = {"api_key": "the-key", "host": "0.0.0.0", "allowed_hosts": "mavis.example"}
    assert await status("POST", CHAT, {"host": "any.example"}, **configured) == (403, "host_not_allowed")
    for wrong in ("mavis.example:8000", "http://mavis.example", "*.", "a b", "*mavis.example"):
        with pytest.raises(ConfigError, match="--allowed-hosts="):
            load_settings(allowed_hosts=wrong)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:8001", "http://localhost", "file://"]
)
async def test_pages_of_other_origins_change_nothing(origin: str) -> None:
    headers = {"host": "localhost:8000", "origin": origin, "content-type": "application/json"}
    for method, path in (("POST", CHAT), ("DELETE", "/v1/preferences/ann"), ("PUT", "/v1/preferences/ann")):
        assert await status(method, path, headers) == (403, "origin_not_allowed")
    assert (await status("POST", CHAT, headers, allowed_origins=origin))[0] == 200
    assert (await status("POST", CHAT, headers, allowed_origins="*"))[0] == 200
    assert (await status("POST", CHAT, headers, allowed_origins="https://app.example"))[0] == 403
    assert (await status("GET", "/health", headers))[0] == 200
    for site in ("cross-site", "same-site"):
        assert (await status("POST", CHAT, headers | {"sec-fetch-site": site}))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:8000", "origin": "http://localhost:8000"},
        {"host": "localhost:8000", "origin": "http://localhost:8000", "sec-fetch-site": "same-origin"},
        {"host": "localhost:8000"},  # no page at all
        # behind proxies that speak TLS: one passes our name on, one does not
        {"host": "mavis.example", "origin": "https://mavis.example"},
        {"host": "127.0.0.1:8000", "origin": "https://mavis.example", "sec-fetch-site": "same-origin"},
    ],
)
async def test_our_own_page(headers: dict[str, str]) -> None:
    settings = {"allowed_hosts": "mavis.example", "root_path": "/mavis"}
    assert (await status("POST", CHAT, headers, **settings))[0] == 200


async def test_what_another_header_says_of_our_name_is_not_believed() -> None:
    headers = {"host": "localhost:8000", "origin": "https://evil.example", "x-forwarded-host": "evil.example"}
    assert await status("POST", CHAT, headers) == (403, "origin_not_allowed")
    rebound = {"host": "evil.example", "x-forwarded-host": "localhost"}
    assert await status("POST", CHAT, rebound) == (403, "host_not_allowed")


def test_on_a_socket() -> None:
    """As a page sends it that needs no preflight, to a server as it is started; two names are not one of ours."""
    with served() as port:
        request = CHAT_HEAD.replace(b"Host", b"Connection: close\r\nHost") + b"Content-Length: 2\r\n\r\n{}"
        for told, code in (
            (b"Host: localhost\r\nOrigin: https://evil.example", "origin_not_allowed"),
            (b"Host: evil.example", "host_not_allowed"),
            (b"Host: localhost\r\nHost: evil.example", "host_not_allowed"),
        ):
            answer = parsed(exchange(port, request.replace(b"Host: localhost", told)))
            assert (answer[0], answer[1]["error"]["code"]) == (403, code)
        assert parsed(exchange(port, request))[0] == 400
