"""Tables made, and rows of tables from before moved into them, in the transaction of whoever needs them first.

Both are safe against other processes that do the same: one at a time gets in, and the next finds it done.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, delete, exists, inspect, literal, select, text
from sqlalchemy.schema import CreateTable, DropTable

from server.stored.scope import NO_MODEL
from server.stored.tables import BEFORE, TABLES

log = logging.getLogger(__name__)
LOCK = 0x6D61766973


def prepare(connection: Connection, create: bool) -> bool:
    """Whether there are tables; ``create`` makes them where there are none."""
    names = _names(connection)
    old = names & {table.name for table in BEFORE}
    ready = names >= {table.name for table in TABLES}
    if not old and (ready or not create):
        return ready
    _lock(connection)
    for table in TABLES:
        connection.execute(CreateTable(table, if_not_exists=True))
    _move_rows(connection)
    return True


def _lock(connection: Connection) -> None:
    """PostgreSQL's "create if not exists" is not safe against another replica's, nor are two moves of the same rows."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _move_rows(connection: Connection) -> None:
    """Into rows of no model, in place of those moved before: a server of the old version may have come back since."""
    names = _names(connection)
    for before, table in BEFORE.items():
        if before.name not in names:
            continue
        columns = [column.name for column in before.columns]
        same = [table.c[key.name] == before.c[key.name] for key in table.primary_key if key is not table.c.model]
        connection.execute(delete(table).where(table.c.model == NO_MODEL, exists(select(before).where(*same))))
        moved = select(*before.columns, literal(NO_MODEL))
        found = connection.execute(table.insert().from_select([*columns, "model"], moved)).rowcount
        connection.execute(DropTable(before))
        log.info("database: %d rows of %s belong to no model now, see docs/operations.md", found, before.name)


def _names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())
