"""Stored preferences: the weights of one user of one API key, used where a request names the user and no weights.

A key sees only what it wrote, and a model only what was stored for it (``scope.py``). A user's id is any text that both
kinds of database can store unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select

from mavis_core.api.errors import InvalidRequestError
from server.http.keys import ApiKey
from server.stored.database import Database, upsert
from server.stored.scope import Scope
from server.stored.tables import MAX_USER, PREFERENCES

MAX_USERS = 1_000_000  # per key, so that one key cannot fill the disk


@dataclass(frozen=True, slots=True)
class Preference:
    objective_weights: dict[str, float]
    updated_at: int


class Preferences:
    def __init__(self, database: Database, max_users: int = MAX_USERS) -> None:
        self._database = database
        self._max_users = max_users

    async def get(self, scope: Scope, key: ApiKey, user: str) -> Preference | None:
        if not storable(user):
            return None
        nothing: dict[str, Preference] = {}
        found = await self._database.read(lambda connection: _rows(connection, scope, key, user), nothing)
        return next(iter(found.values()), None)

    async def put(self, scope: Scope, key: ApiKey, user: str, weights: Mapping[str, float]) -> Preference:
        """Raises InvalidRequestError: the user cannot be stored, or the key has too many."""
        if not storable(user):
            raise InvalidRequestError(f"user: must be 1 to {MAX_USER} printable characters", "user")
        preference = Preference(dict(weights), int(time.time()))

        def work(connection: Connection) -> None:
            own = _of(key, user) & (PREFERENCES.c.model == scope.model)
            if connection.execute(select(1).where(own)).one_or_none() is None:
                some = select(1).where(PREFERENCES.c.owner == key.owner).limit(self._max_users)
                if (
                    connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
                    >= self._max_users
                ):
                    raise InvalidRequestError(f"user: this key has preferences of {self._max_users} users, no more fit")
            upsert(
                connection,
                PREFERENCES,
                {"owner": key.owner, "user_id": user, "model": scope.model},
                {"objective_weights": preference.objective_weights, "updated_at": preference.updated_at},
            )

        await self._database.write(work)
        return preference

    async def delete(self, scope: Scope, key: ApiKey, user: str) -> bool:
        """Delete a preference, and the row of no model that it hid; whether there was one."""
        if await self.get(scope, key, user) is None:  # so a delete does not create the database
            return False

        def work(connection: Connection) -> bool:
            gone = _of(key, user) & PREFERENCES.c.model.in_(_rows(connection, scope, key, user))
            return connection.execute(delete(PREFERENCES).where(gone)).rowcount > 0

        return await self._database.write(work)


def storable(user: str) -> bool:
    """Whether ``user`` can be stored; U+FFFD, which replaces bytes that are no UTF-8, would merge different users."""
    return 0 < len(user) <= MAX_USER and user.isprintable() and "\ufffd" not in user


def _rows(connection: Connection, scope: Scope, key: ApiKey, user: str) -> dict[str, Preference]:
    """The user's preferences that count here, by model, our own first."""
    columns = PREFERENCES.c.model, PREFERENCES.c.objective_weights, PREFERENCES.c.updated_at
    rows = connection.execute(select(*columns).where(_of(key, user) & PREFERENCES.c.model.in_(scope.models)))
    found = {model: Preference(dict(weights), updated_at) for model, weights, updated_at in rows}
    visible = scope.visible((model, preference.objective_weights) for model, preference in found.items())
    return {model: found[model] for model in visible}


def _of(key: ApiKey, user: str) -> ColumnElement[bool]:
    return (PREFERENCES.c.owner == key.owner) & (PREFERENCES.c.user_id == user)
