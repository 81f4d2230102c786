"""The database of stored preferences and presets: SQLite in a file, or PostgreSQL where replicas share one.

Work runs on a few threads of its own, never on the event loop, and each call has a deadline. Tables are made by the
first write: a server on a read-only file system serves as if nothing were stored, and only writing fails. SQLite's
file belongs to its owner alone (mode 0600).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from server.errors import DatabaseUnavailableError
from server.stored.migration import prepare

log = logging.getLogger(__name__)
T = TypeVar("T")
THREADS = 4
DEADLINE = 10.0  # seconds; drivers give up sooner, so this bounds only what their own limits miss
# psycopg's (libpq's) own: seconds to connect, milliseconds for a statement and for unanswered packets.
POSTGRES = {"connect_timeout": 4, "options": "-c statement_timeout=4000", "tcp_user_timeout": 5000}


class Database:
    """
    Args:
        address: ``sqlite:///path``, ``sqlite://`` (in memory) or ``postgresql://...``.
    """

    def __init__(self, address: str) -> None:
        url = parse_url(address)
        lite = url.get_backend_name() == "sqlite"
        self._in_memory = lite and url.database in (None, "", ":memory:")
        self._file = Path(url.database) if lite and url.database and not self._in_memory else None
        self._engine = _engine(url, self._in_memory)
        self._workers: ThreadPoolExecutor | None = None
        self._ready = False

    async def read(self, work: Callable[[Connection], T], nothing: T) -> T:
        """What ``work`` returns, or ``nothing`` where nothing was ever stored; raises DatabaseUnavailableError."""
        return await self._off_loop(self._read, work, nothing)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """``work`` in one transaction; raises DatabaseUnavailableError, and what ``work`` raises."""
        return await self._off_loop(self._write, work)

    def close(self) -> None:
        """End the threads and connections; the next call starts new ones."""
        if self._workers is not None:
            self._workers.shutdown(wait=False, cancel_futures=True)
            self._workers = None
        self._engine.dispose()
        self._ready = False

    async def _off_loop(self, call: Callable[..., T], *args: Any) -> T:
        if self._workers is None:
            self._workers = ThreadPoolExecutor(1 if self._in_memory else THREADS, "database")
        try:
            async with asyncio.timeout(DEADLINE):
                return await asyncio.get_running_loop().run_in_executor(self._workers, call, *args)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("database: %s", getattr(error, "orig", None) or repr(error))
            raise DatabaseUnavailableError(
                "the database of presets and preferences cannot be used now; the server's log says why"
            ) from None

    def _read(self, work: Callable[[Connection], T], nothing: T) -> T:
        if self._file is not None and not os.path.exists(self._file):  # nor may its folder be readable
            return nothing
        if not self._ready:
            with self._engine.begin() as connection:
                if not prepare(connection, create=False):
                    return nothing
            self._ready = True
        with self._engine.connect() as connection:
            return work(connection)

    def _write(self, work: Callable[[Connection], T]) -> T:
        if self._file is not None and not os.path.exists(self._file):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600))
            self._ready = False  # somebody may have removed the file while we ran
            self._engine.dispose()
        with self._engine.begin() as connection:
            if not self._ready:
                prepare(connection, create=True)
            made = work(connection)
        self._ready = True
        return made


def parse_url(address: str) -> URL:
    """Raises ValueError without quoting the address, which may hold a password."""
    try:
        url = make_url(address)
    except ArgumentError:
        raise ValueError("not a database URL") from None
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ValueError(f"{url.drivername}: must be sqlite or postgresql")
    if url.get_backend_name() == "postgresql" and find_spec("psycopg") is None:
        raise ValueError("postgresql needs psycopg: pip install 'mavis-server[postgres]'")
    return url


def upsert(connection: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Insert, or update the row that has ``key``."""
    insert = postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
    row = insert.values(**key, **values)
    connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=dict(values)))


def _engine(url: URL, in_memory: bool) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url, connect_args=POSTGRES, pool_pre_ping=True, pool_size=THREADS, max_overflow=0, hide_parameters=True
        )
    if in_memory:  # one connection, since every further one would have an empty database of its own
        return create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False}, hide_parameters=True)
    return create_engine(url, connect_args={"timeout": 4}, hide_parameters=True)
