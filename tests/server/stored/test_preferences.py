"""Stored preferences: the same suite against SQLite and PostgreSQL, the store alone and over HTTP."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import create_engine, insert, select

from mavis_core.api.errors import InvalidRequestError
from server.http.keys import ANONYMOUS, ApiKey, digest_of
from server.stored.database import Database, parse_url
from server.stored.preferences import Preferences
from server.stored.tables import PREFERENCES
from tests.server.conftest import SCOPE, USER, app_client
from tests.server.fake_engine import FakeEngine

ANN, BOB = (ApiKey(name, digest_of(name)) for name in ("ann", "bob"))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
async def database(address: str) -> AsyncIterator[Database]:
    database = Database(address)
    yield database
    database.close()


async def test_each_key_has_its_own(database: Database) -> None:
    store = Preferences(database)
    assert await store.get(SCOPE, ANN, "u") is None
    assert not await store.delete(SCOPE, ANN, "u")
    await store.put(SCOPE, ANN, "u", {"cheerful": 0.1})
    await store.put(SCOPE, BOB, "u", {"concise": -2})
    await store.put(SCOPE, ANN, "u", {"cheerful": 1 / 3})  # replaced, exactly
    found = await store.get(SCOPE, ANN, "u")
    assert found is not None and found.objective_weights == {"cheerful": 1 / 3}
    assert await store.get(SCOPE, ANONYMOUS, "u") is None
    assert await store.delete(SCOPE, ANN, "u")
    assert await store.get(SCOPE, ANN, "u") is None
    assert await store.get(SCOPE, BOB, "u") is not None


async def test_replicas_share_and_start_together(address: str) -> None:
    """Several processes' worth of databases make the tables at once and see each other's writes."""
    replicas = [Database(address) for _ in range(4)]
    await asyncio.gather(*(Preferences(r).put(SCOPE, ANN, f"u{i}", {"cheerful": i}) for i, r in enumerate(replicas)))
    for replica in replicas:
        found = [await Preferences(replica).get(SCOPE, ANN, f"u{i}") for i in range(4)]
        assert [f.objective_weights["cheerful"] for f in found if f] == [0, 1, 2, 3]
        replica.close()


async def test_the_number_of_users_is_bounded(database: Database) -> None:
    store = Preferences(database, max_users=2)
    for user in ("a", "b", "a"):
        await store.put(SCOPE, ANN, user, {})
    with pytest.raises(InvalidRequestError, match="no more fit"):
        await store.put(SCOPE, ANN, "c", {})
    await store.put(SCOPE, BOB, "c", {})


async def test_no_key_is_stored(database: Database, address: str) -> None:
    async with app_client(api_key="the-key-of-ann", database=address) as client:
        await client.put("/v1/preferences/u", json={"objective_weights": {}}, headers=bearer("the-key-of-ann"))
    with create_engine(parse_url(address)).connect() as connection:
        [owner] = connection.execute(select(PREFERENCES.c.owner)).scalars()
    assert len(owner) == 64
    assert owner != digest_of("the-key-of-ann").hex()  # what a key file would accept is not there either


async def test_ten_thousand_survive_a_restart(address: str) -> None:
    first = Database(address)
    await Preferences(first).put(SCOPE, ANN, "u0", {"cheerful": 0})
    rows = [
        {
            "owner": ANN.owner,
            "user_id": f"u{i}",
            "model": SCOPE.model,
            "objective_weights": {"cheerful": i / 7},
            "updated_at": i,
        }
        for i in range(1, 10_000)
    ]
    await first.write(lambda connection: connection.execute(insert(PREFERENCES), rows))
    first.close()
    second = Database(address)
    found = await asyncio.gather(*(Preferences(second).get(SCOPE, ANN, f"u{i}") for i in range(0, 10_000, 13)))
    assert [f.objective_weights["cheerful"] for f in found if f] == [i / 7 for i in range(0, 10_000, 13)]
    second.close()


@pytest.mark.parametrize("user", ["ann", "a/b", "../presets/x", "a b", "ünï ☃", "a%2Fb", "'; DROP TABLE preferences"])
async def test_any_printable_text_is_a_user(user: str, address: str) -> None:
    path = "/v1/preferences/" + quote(user, safe="")
    async with app_client(database=address) as client:
        put = await client.put(path, json={"objective_weights": {"cheerful": 1}})
        assert put.status_code == 200, put.text
        assert put.json()["user"] == user
        assert (await client.get(path)).json() == put.json()
        body = {"messages": USER, "user": user}
        guidance = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["guidance"]
        assert (guidance["source"], guidance["weights"]) == ("preference", {"cheerful": 1})
        assert (await client.delete(path)).json() == {"id": user, "object": "preference.deleted", "deleted": True}
        assert (await client.get(path)).json()["error"]["code"] == "preference_not_found"
        assert (await client.delete(path)).status_code == 404


HOSTILE = ["a%00b", "%ff%fe", "%ed%a0%80", "a%0d%0aX-Admin:%201", "x" * 257, "x" * 10_000, "", "%7f"]


@pytest.mark.parametrize("user", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_users_are_refused(user: str, address: str) -> None:
    async with app_client(database=address) as client:
        put = await client.put(f"/v1/preferences/{user}", json={"objective_weights": {}})
        assert put.status_code in (400, 404), put.text  # 404: no route matches a path with a line break
        assert len(put.text) < 500
        assert (await client.get(f"/v1/preferences/{user}")).status_code == 404
        assert (await client.delete(f"/v1/preferences/{user}")).status_code == 404


@pytest.mark.parametrize("user", ["x" * 10_000, "a\0b", "", "a\r\nb"])
async def test_a_user_that_cannot_be_stored_has_nothing_stored(user: str, address: str) -> None:
    async with app_client(database=address) as client:
        await client.put("/v1/preferences/ann", json={"objective_weights": {"cheerful": 1}})
        answer = await client.post("/v1/chat/completions", json={"messages": USER, "user": user})
        assert answer.json()["choices"][0]["guidance"]["source"] == "none"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "objective_weights"),
        ({"objective_weights": {"cheery": 1}}, "objective_weights"),
        ({"objective_weights": {"cheerful": 5}}, "objective_weights.cheerful"),
        ({"objective_weights": {"cheerful": "1"}}, "objective_weights.cheerful"),
        ({"objective_weights": {f"o{i}": 1 for i in range(65)}}, "objective_weights"),
        ({"weights": {}}, "weights"),
    ],
)
async def test_weights_are_checked_when_stored(client: httpx.AsyncClient, body: Any, param: str) -> None:
    response = await client.put("/v1/preferences/u", json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param or "objective_weights" in error["message"]
    assert (await client.get("/v1/preferences/u")).status_code == 404


async def test_an_objective_that_is_gone_is_an_error_that_says_so(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'p.db'}"
    database = Database(address)
    await Preferences(database).put(SCOPE, ANONYMOUS, "u", {"unloaded": 1})
    database.close()
    async with app_client(database=address) as client:
        answer = await client.post("/v1/chat/completions", json={"messages": USER, "user": "u"})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (400, "user", "unknown_objective")
        assert "what is stored for this user" in error["message"] and "'unloaded'" in error["message"]
        sent = {"messages": USER, "user": "u", "objective_weights": {}}
        assert (await client.post("/v1/chat/completions", json=sent)).status_code == 200


async def test_a_key_sees_only_its_own_over_http() -> None:
    async with app_client(api_key="key-of-ann,key-of-bob") as client:
        ann, bob = bearer("key-of-ann"), bearer("key-of-bob")
        path = "/v1/preferences/u"
        assert (await client.put(path, json={"objective_weights": {}})).status_code == 401
        await client.put(path, json={"objective_weights": {"cheerful": 1}}, headers=ann)
        assert (await client.get(path, headers=bob)).status_code == 404
        assert (await client.delete(path, headers=bob)).status_code == 404
        for headers, source in ((ann, "preference"), (bob, "none")):
            body = {"messages": USER, "user": "u"}
            answer = (await client.post("/v1/chat/completions", json=body, headers=headers)).json()
            assert answer["choices"][0]["guidance"]["source"] == source


async def test_the_file_is_the_owners_alone_and_made_by_the_first_write(tmp_path: Path) -> None:
    file = tmp_path / "state" / "mavis.db"
    async with app_client(database=f"sqlite:///{file}") as client:
        await client.get("/v1/preferences/u")
        await client.delete("/v1/preferences/u")
        await client.get("/v1/models")
        await client.post("/v1/chat/completions", json={"messages": USER, "user": "u"})
        assert not file.parent.exists()
        await client.put("/v1/preferences/u", json={"objective_weights": {}})
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        file.unlink()  # somebody removes it: nothing is stored, and it can be made again
        assert (await client.get("/v1/preferences/u")).status_code == 404
        assert (await client.put("/v1/preferences/u", json={"objective_weights": {}})).status_code == 200


async def test_where_nothing_can_be_written_everything_else_works(engine: FakeEngine) -> None:
    async with app_client(engine, database="sqlite:////proc/nowhere/mavis.db") as client:
        refused = await client.put("/v1/preferences/u", json={"objective_weights": {}})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "database_unavailable")
        assert refused.headers["retry-after"]
        assert (await client.get("/v1/preferences/u")).status_code == 404
        assert (await client.get("/v1/models")).status_code == 200
        body = {"messages": USER, "user": "u"}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200


DEAD = ["postgresql://mavis:s3cret@127.0.0.1:1/none", "garbage"]


@pytest.mark.parametrize("dead", DEAD)
async def test_a_dead_database(dead: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if dead == "garbage":
        (tmp_path / "x.db").write_bytes(b"this is not a database, it only looks like one\n" * 100)
        dead = f"sqlite:///{tmp_path / 'x.db'}"
    async with app_client(database=dead) as client:
        plain = {"messages": USER}
        for response in (
            await client.get("/v1/preferences/u"),
            await client.put("/v1/preferences/u", json={"objective_weights": {}}),
            await client.delete("/v1/preferences/u"),
            await client.get("/v1/presets/p"),
            await client.get("/v1/presets"),
            await client.post("/v1/chat/completions", json={**plain, "user": "u"}),
            await client.post("/v1/chat/completions", json={**plain, "model": "fake/model:p"}),
        ):
            assert response.status_code == 503, response.text
            assert response.json()["error"]["code"] == "database_unavailable"
            assert "s3cret" not in response.text and "127.0.0.1" not in response.text
        for body in (plain, {**plain, "user": "u", "objective_weights": {}}):  # nothing stored is needed for these
            assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        assert [card["id"] for card in (await client.get("/v1/models")).json()["data"]] == ["fake/model"]
    assert "database" in caplog.text
    assert "s3cret" not in caplog.text
