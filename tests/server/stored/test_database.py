"""The database off the event loop: what waits, what gives up, what it may assume."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, insert, select, text

from server.errors import DatabaseUnavailableError
from server.http.keys import ANONYMOUS
from server.stored import database as module
from server.stored.database import Database, parse_url
from server.stored.preferences import Preferences
from server.stored.tables import PRESETS
from tests.server.conftest import SCOPE


def slow(_: Connection) -> str:
    time.sleep(0.4)
    return "done"


async def test_the_event_loop_goes_on_meanwhile(address: str) -> None:
    database = Database(address)
    waiting = asyncio.ensure_future(database.write(slow))
    turns = 0
    while not waiting.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert await waiting == "done"
    assert turns > 10
    database.close()


async def test_a_call_has_a_deadline(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.1)
    database, released, ended = Database(address), threading.Event(), threading.Event()

    def stuck(_: Connection) -> None:
        released.wait(30)
        ended.set()

    with pytest.raises(DatabaseUnavailableError):
        await database.write(stuck)
    assert not ended.is_set()
    released.set()
    database.close()


async def test_a_write_that_fails_leaves_nothing(address: str) -> None:
    database = Database(address)

    def work(connection: Connection) -> None:
        connection.execute(insert(PRESETS).values(name="p", model="m", preset={}, updated_at=1))
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await database.write(work)
    nothing: list[Any] = []
    assert await database.read(lambda connection: list(connection.execute(select(PRESETS))), nothing) == []
    database.close()


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:"])
async def test_in_memory(address: str) -> None:
    database = Database(address)
    await Preferences(database).put(SCOPE, ANONYMOUS, "u", {"a": 1})
    assert await Preferences(database).get(SCOPE, ANONYMOUS, "u") is not None
    database.close()
    assert await Preferences(database).get(SCOPE, ANONYMOUS, "u") is None


async def test_tables_may_be_made_by_somebody_else(postgres: str) -> None:
    """A role that may not create tables, as careful operators give us."""
    made = Database(postgres)
    await made.write(lambda connection: connection.execute(text("SELECT 1")))
    made.close()
    with psycopg.connect(postgres) as connection:
        if connection.info.parameter_status("is_superuser") != "on":
            pytest.skip("this PostgreSQL lets us make no roles")
        connection.execute("DROP ROLE IF EXISTS plain")
        connection.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON model_preferences, model_presets TO plain")
    plain = Database(parse_url(postgres).set(username="plain", password="plain").render_as_string(False))
    await Preferences(plain).put(SCOPE, ANONYMOUS, "u", {"a": 1})
    plain.close()
    with psycopg.connect(postgres) as connection:
        connection.execute("DROP OWNED BY plain")
        connection.execute("DROP ROLE plain")
