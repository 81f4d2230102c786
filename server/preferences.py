"""Stored preferences: the weights of one user of one API key, used where a request names the user and no weights.

A key sees only what it wrote. A user is any text that both databases can hold as it is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select

from mavis_core.errors import InvalidRequestError
from server.database import Database, upsert
from server.keys import ApiKey
from server.tables import MAX_USER, PREFERENCES

MAX_USERS = 1_000_000  # per key: one key cannot fill the disk that all share


@dataclass(frozen=True, slots=True)
class Preference:
    objective_weights: dict[str, float]
    updated_at: int


class Preferences:
    def __init__(self, database: Database, max_users: int = MAX_USERS) -> None:
        self._database = database
        self._max_users = max_users

    async def get(self, key: ApiKey, user: str) -> Preference | None:
        if not storable(user):
            return None
        columns = PREFERENCES.c.objective_weights, PREFERENCES.c.updated_at

        def work(connection: Connection) -> Preference | None:
            row = connection.execute(select(*columns).where(_row(key, user))).one_or_none()
            return None if row is None else Preference(dict(row[0]), row[1])

        return await self._database.read(work, None)

    async def put(self, key: ApiKey, user: str, weights: Mapping[str, float]) -> Preference:
        """Raises InvalidRequestError: the user cannot be stored, or the key has too many."""
        if not storable(user):
            raise InvalidRequestError(f"user: must be 1 to {MAX_USER} printable characters", "user")
        preference = Preference(dict(weights), int(time.time()))

        def work(connection: Connection) -> None:
            if connection.execute(select(1).where(_row(key, user))).one_or_none() is None:
                some = select(1).where(PREFERENCES.c.owner == key.owner).limit(self._max_users)
                if (
                    connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
                    >= self._max_users
                ):
                    raise InvalidRequestError(f"user: this key has preferences of {self._max_users} users, no more fit")
            upsert(
                connection,
                PREFERENCES,
                {"owner": key.owner, "user_id": user},
                {"objective_weights": preference.objective_weights, "updated_at": preference.updated_at},
            )

        await self._database.write(work)
        return preference

    async def delete(self, key: ApiKey, user: str) -> bool:
        """Whether there was one."""
        if await self.get(key, user) is None:  # also keeps a delete from making the database
            return False
        return await self._database.write(
            lambda connection: connection.execute(delete(PREFERENCES).where(_row(key, user))).rowcount > 0
        )


def storable(user: str) -> bool:
    """U+FFFD stands for bytes of a path that were not UTF-8: two different users would become one."""
    return 0 < len(user) <= MAX_USER and user.isprintable() and "\ufffd" not in user


def _row(key: ApiKey, user: str) -> ColumnElement[bool]:
    return (PREFERENCES.c.owner == key.owner) & (PREFERENCES.c.user_id == user)
