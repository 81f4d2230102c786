"""API keys: the ring, the file, ``mavis key``, the admin key."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from mavis_core.api.errors import ConfigError
from server.cli.app import app
from server.http.key_file import key_ring, new_entry, read_keys
from server.http.keys import ApiKey, KeyRing, digest_of
from server.settings import load_settings
from tests.server.conftest import USER, app_client

ADMIN = "admin-key-0123456789"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_token_is_compared_with_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """In constant time, and to the end even after the key is found."""
    compared: list[bytes] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append(right)
        return left == right

    monkeypatch.setattr("server.http.keys.hmac.compare_digest", compare)
    ring = KeyRing([ApiKey(name, digest_of(name)) for name in ("one", "two", "three")])
    found = ring.find("one")
    assert found is not None and found.name == "one"
    assert len(compared) == 3
    assert ring.find("on") is None
    assert ring.find("two\xff") is None


def test_keys_outside_ascii_are_bytes_as_sent() -> None:
    ring = KeyRing([ApiKey("umlaut", digest_of("schlüssel"))])
    assert ring.find("schlüssel".encode().decode("latin-1"))


def test_neither_repr_nor_owner_gives_a_key_away() -> None:
    key = ApiKey("ann", digest_of("secret"))
    assert digest_of("secret").hex() not in repr(key) + key.owner
    assert "secret" not in repr(key)
    assert key.owner == ApiKey("renamed", digest_of("secret"), 5).owner
    assert key.owner != ApiKey("ann", digest_of("other")).owner


def test_the_file(tmp_path: Path) -> None:
    made, line = new_entry("ann: the first", 5, 1000)
    path = tmp_path / "keys.yaml"
    path.write_text(f"# people\n{line}\n- plain-old-key\n- sha256:{digest_of('another-key').hex()}\n")
    assert made not in line
    settings = load_settings(host="0.0.0.0", api_key_file=path, api_key="from-settings", admin_api_key=ADMIN)
    ring = key_ring(settings)
    assert ring.required
    found = [ring.find(key) for key in (made, "plain-old-key", "another-key", "from-settings", ADMIN)]
    names = [key.name for key in found if key]
    assert names == ["ann: the first", "entry 2", "entry 3", "key 1", "admin"]
    assert [key.admin for key in found if key] == [False] * 4 + [True]
    first = found[0]
    assert first is not None and (first.requests_per_minute, first.tokens_per_minute) == (5, 1000)
    assert ring.find(line) is None
    assert ring.find("sha256:" + digest_of("another-key").hex()) is None  # the stored form opens nothing


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "list"),
        ("[]", "at least 1"),
        ("secret-key-1", "list"),
        ("- 12345678", "0"),
        ("- short", "8 to 512"),
        ("- secret key", "visible ASCII"),
        ("- sha256:abc", "64 hex digits"),
        ("- {key: secret-key-1, nam: x}", "0.nam"),
        ("- {key: secret-key-1, requests_per_minute: 0}", "requests_per_minute"),
        ("- {name: ann}", "0.key: Field required"),
        ("- secret-key-1\n- secret-key-1", "'entry 1' and 'entry 2' are the same key"),
        ("- secret-key-1: [", "not YAML in line"),
    ],
)
def test_wrong_files_are_named_and_not_shown(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_keys(path)
    assert str(path) in str(error.value) and says in str(error.value)
    assert "secret" not in str(error.value)


def test_the_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["key", "--name", "ann", "--requests-per-minute", "3"])
    assert result.exit_code == 0
    key = result.stderr.strip().rpartition(" ")[2]
    assert key.startswith("sk-mavis-") and len(key) > 50
    assert key not in result.stdout
    [entry] = yaml.safe_load(result.stdout)
    assert entry == {"key": "sha256:" + digest_of(key).hex(), "name": "ann", "requests_per_minute": 3}
    other = CliRunner().invoke(app, ["key"])
    assert other.stdout != result.stdout


@pytest.mark.parametrize("name", ["\U0001f600", "ünï ☃", "a: b", "- x", "'\"\\", "#", "x" * 100])
def test_whatever_name_a_key_is_made_for_the_file_can_have(tmp_path: Path, name: str) -> None:
    made, line = new_entry(name, None, None)
    path = tmp_path / "keys.yaml"
    path.write_text(line + "\n", encoding="utf-8")
    assert [(key.name, key.digest) for key in read_keys(path)] == [(name, digest_of(made))]


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "a\x7f", "\ud800"])
def test_a_name_that_the_file_cannot_have_makes_no_key(name: str) -> None:
    with pytest.raises(ConfigError, match=r"name=.*: must be 1 to 100 printable characters"):
        new_entry(name, None, None)
    if name != "\ud800":
        result = CliRunner().invoke(app, ["key", "--name", name])
        assert (result.exit_code, result.stdout) == (1, "")


async def test_a_line_break_after_a_key_is_none_of_it() -> None:
    """As files and secrets of orchestrators have it; what a client sends is stripped too."""
    keys: dict[str, Any] = {"api_key": '["user-key-1\\n"]', "admin_api_key": ADMIN + "\n"}
    async with app_client(**keys) as client:
        assert (await client.get("/v1/models", headers=bearer("user-key-1"))).status_code == 200
        assert (await client.get("/v1/values", headers=bearer(ADMIN))).status_code == 200


async def test_keys_of_the_file_open_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made, line = new_entry(None, None, None)
    path = tmp_path / "keys.yaml"
    path.write_text(line)
    async with app_client(api_key_file=path, admin_api_key=ADMIN) as client:
        for headers, status in (({}, 401), (bearer("sk-wrong"), 401), (bearer(made), 200), (bearer(ADMIN), 200)):
            response = await client.post("/v1/chat/completions", json={"messages": USER}, headers=headers)
            assert response.status_code == status
    assert made not in caplog.text and ADMIN not in caplog.text


async def test_an_admin_key_alone_closes_nothing_else() -> None:
    async with app_client(admin_api_key=ADMIN) as client:
        for headers in ({}, bearer("none"), bearer(ADMIN)):
            response = await client.post("/v1/chat/completions", json={"messages": USER}, headers=headers)
            assert response.status_code == 200
        preset: dict[str, Any] = {"objective_weights": {}}
        assert (await client.put("/v1/presets/p", json=preset)).status_code == 403
        assert (await client.put("/v1/presets/p", json=preset, headers=bearer(ADMIN))).status_code == 200
