"""Servers of different models on one database: what one stores the other neither sees nor trips over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, inspect, text

from mavis_core.api.messages import ObjectiveInfo
from server.http.keys import ANONYMOUS
from server.stored.database import Database, parse_url
from server.stored.preferences import Preferences
from server.stored.presets import Presets
from server.stored.scope import Scope
from tests.server.conftest import SCOPE, USER, app_client
from tests.server.fake_engine import FakeEngine

ADMIN = "admin-key-0123456789"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
OTHER = Scope("other/model", (ObjectiveInfo("polite", "", "lm", "v", 0, 1, 1, (-4, 4)), SCOPE.objectives[0]))
THIRD = Scope("third/model", SCOPE.objectives)
CHAT: dict[str, Any] = {"messages": USER, "max_tokens": 1}


def engine_of(scope: Scope) -> FakeEngine:
    engine = FakeEngine()
    engine._info = replace(engine._info, model=scope.model, objectives=scope.objectives)
    return engine


@asynccontextmanager
async def servers(address: str, *scopes: Scope) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(app_client(engine_of(scope), database=address, admin_api_key=ADMIN))
            for scope in scopes
        ]


async def models(client: httpx.AsyncClient) -> list[str]:
    return [card["id"] for card in (await client.get("/v1/models")).json()["data"]]


async def test_presets_stay_with_their_model(address: str) -> None:
    async with servers(address, SCOPE, OTHER, SCOPE) as (one, other, replica):
        for client, weights in ((one, {"concise": 1}), (other, {"polite": 2})):
            put = await client.put("/v1/presets/p", json={"objective_weights": weights}, headers=AS_ADMIN)
            assert put.status_code == 200, put.text
        await other.put("/v1/presets/only", json={"objective_weights": {"polite": 1}}, headers=AS_ADMIN)
        assert await models(one) == await models(replica) == ["fake/model", "fake/model:p"]
        assert await models(other) == ["other/model", "other/model:only", "other/model:p"]
        assert [card["name"] for card in (await one.get("/v1/presets")).json()["data"]] == ["p"]
        assert (await one.get("/v1/presets/only")).status_code == 404
        for client, model, weights in ((one, "fake/model:p", {"concise": 1}), (other, "other/model:p", {"polite": 2})):
            answer = (await client.post("/v1/chat/completions", json=CHAT | {"model": model})).json()
            assert answer["choices"][0]["guidance"]["weights"] == weights
        assert (await one.delete("/v1/values/fake-value", headers=AS_ADMIN)).status_code == 409
        assert (await one.delete("/v1/presets/only", headers=AS_ADMIN)).status_code == 404
        assert (await one.delete("/v1/presets/p", headers=AS_ADMIN)).status_code == 200
        assert (await other.get("/v1/presets/p")).json()["objective_weights"] == {"polite": 2}


async def test_preferences_stay_with_their_model(address: str) -> None:
    path = "/v1/preferences/ann"
    async with servers(address, SCOPE, OTHER, SCOPE) as (one, other, replica):
        await one.put(path, json={"objective_weights": {"concise": 1}})
        assert (await other.get(path)).status_code == 404
        plain = await other.post("/v1/chat/completions", json=CHAT | {"user": "ann"})
        assert plain.json()["choices"][0]["guidance"]["source"] == "none"
        await other.put(path, json={"objective_weights": {"polite": 2}})
        for client, weights in ((one, {"concise": 1}), (other, {"polite": 2}), (replica, {"concise": 1})):
            answer = (await client.post("/v1/chat/completions", json=CHAT | {"user": "ann"})).json()
            assert answer["choices"][0]["guidance"]["weights"] == weights
        assert (await one.delete(path)).status_code == 200
        assert (await replica.get(path)).status_code == 404
        assert (await other.get(path)).json()["objective_weights"] == {"polite": 2}


async def test_a_served_name_is_the_model(address: str) -> None:
    """Replicas that load the same model from elsewhere share under the name that clients know."""
    names = {"served_model_name": "prod,old", "database": address, "admin_api_key": ADMIN}
    async with app_client(engine_of(SCOPE), **names) as one, app_client(engine_of(THIRD), **names) as two:
        await one.put("/v1/presets/p", json={"objective_weights": {"concise": 1}}, headers=AS_ADMIN)
        assert await models(two) == ["prod", "old", "prod:p", "old:p"]


async def test_a_preset_that_cannot_be_served_is_not_offered(address: str) -> None:
    less = Scope(SCOPE.model, SCOPE.objectives[:1])
    async with servers(address, SCOPE, less) as (whole, part):
        await whole.put("/v1/presets/p", json={"objective_weights": {"concise": 1}}, headers=AS_ADMIN)
        assert await models(part) == ["fake/model"]
        assert [card["name"] for card in (await part.get("/v1/presets")).json()["data"]] == ["p"]  # to be deleted
        assert (await part.delete("/v1/presets/p", headers=AS_ADMIN)).status_code == 200


def make_old(address: str) -> None:
    """A database as versions before wrote it."""
    url = parse_url(address)
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        Path(url.database).parent.mkdir(exist_ok=True)
    with create_engine(url).begin() as connection:
        for statement in (
            "CREATE TABLE preferences (owner VARCHAR(64) NOT NULL, user_id VARCHAR(256) NOT NULL, "
            "objective_weights JSON NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (owner, user_id))",
            "CREATE TABLE presets (name VARCHAR(64) NOT NULL, preset JSON NOT NULL, updated_at BIGINT NOT NULL, "
            "PRIMARY KEY (name))",
            """INSERT INTO presets VALUES ('short', '{"objective_weights": {"concise": 1}}', 5),
            ('kind', '{"objective_weights": {"polite": 1}}', 6),
            ('all', '{"objective_weights": {"cheerful": 1}}', 7)""",
            f"""INSERT INTO preferences VALUES ('{ANONYMOUS.owner}', 'ann', '{{"concise": 2}}', 8),
            ('{ANONYMOUS.owner}', 'bob', '{{"cheerful": 3}}', 9)""",
        ):
            connection.execute(text(statement.replace(": ", "\\: ")))


def tables(address: str) -> set[str]:
    with create_engine(parse_url(address)).connect() as connection:
        return set(inspect(connection).get_table_names())


async def test_rows_from_before_count_where_they_fit(address: str) -> None:
    make_old(address)
    async with servers(address, SCOPE, OTHER) as (one, other):
        assert await models(one) == ["fake/model", "fake/model:all", "fake/model:short"]
        assert tables(address) == {"model_preferences", "model_presets"}
        assert await models(other) == ["other/model", "other/model:all", "other/model:kind"]
        assert (await one.get("/v1/preferences/ann")).json()["updated_at"] == 8
        assert (await other.get("/v1/preferences/ann")).status_code == 404
        assert (await other.get("/v1/preferences/bob")).json()["objective_weights"] == {"cheerful": 3}
        # Stored anew it belongs to the model, and goes before what has none.
        await one.put("/v1/presets/all", json={"objective_weights": {"concise": -1}}, headers=AS_ADMIN)
        await one.put("/v1/preferences/bob", json={"objective_weights": {"concise": -1}})
        assert (await one.get("/v1/presets/all")).json()["objective_weights"] == {"concise": -1}
        assert (await one.get("/v1/preferences/bob")).json()["objective_weights"] == {"concise": -1}
        assert (await other.get("/v1/presets/all")).json()["objective_weights"] == {"cheerful": 1}
        # Deleted it is gone, and nothing shows through.
        for path, headers in (("/v1/presets/all", AS_ADMIN), ("/v1/preferences/bob", {})):
            assert (await one.delete(path, headers=headers)).status_code == 200
            assert (await one.get(path)).status_code == 404
        assert (await one.delete("/v1/presets/kind", headers=AS_ADMIN)).status_code == 404
        assert (await other.get("/v1/presets/kind")).status_code == 200


async def test_a_server_of_the_old_version_that_comes_back_is_moved_again(address: str) -> None:
    make_old(address)
    for weight in (2, 3):
        database = Database(address)
        found = await Preferences(database).get(SCOPE, ANONYMOUS, "ann")
        assert found is not None and found.objective_weights == {"concise": weight}
        assert sorted(await Presets({}, database).stored(SCOPE)) == ["all", "short"]
        database.close()
        if weight == 2:
            make_old(address)
            with create_engine(parse_url(address)).begin() as connection:
                connection.execute(text("""UPDATE preferences SET objective_weights = '{"concise"\\: 3}'"""))
    assert tables(address) == {"model_preferences", "model_presets"}


async def test_several_processes_move_the_rows_once(address: str) -> None:
    make_old(address)
    replicas = [Database(address) for _ in range(4)]
    found = await asyncio.gather(*(Presets({}, replica).stored(SCOPE) for replica in replicas))
    assert [sorted(presets) for presets in found] == [["all", "short"]] * 4
    await Preferences(replicas[0]).put(SCOPE, ANONYMOUS, "ann", {"cheerful": 1})
    again = Database(address)
    stored = await Preferences(again).get(SCOPE, ANONYMOUS, "ann")
    assert stored is not None and stored.objective_weights == {"cheerful": 1}
    for database in (*replicas, again):
        database.close()


async def test_a_write_may_come_first(address: str) -> None:
    make_old(address)
    database = Database(address)
    await Preferences(database).put(THIRD, ANONYMOUS, "ann", {"cheerful": 1})
    assert sorted(await Presets({}, database).stored(SCOPE)) == ["all", "short"]
    stored = await Preferences(database).get(SCOPE, ANONYMOUS, "ann")
    assert stored is not None and stored.objective_weights == {"concise": 2}
    database.close()
