"""Makes the tables and moves rows of older tables into them, in the transaction that first needs them.

Several processes may try at the same time: one gets the lock, and the next finds the work done.
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
    """Whether the tables exist; ``create`` makes them if they do not."""
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
    """Move old rows into rows of no model, replacing rows moved before: an old server may have written since."""
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
