"""The tables of the database. ``owner`` is a caller's one-way id (``server.keys``), never a key."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, MetaData, String, Table

MAX_USER = 256  # characters of a user id
METADATA = MetaData()

PREFERENCES = Table(
    "preferences",
    METADATA,
    Column("owner", String(64), primary_key=True),
    Column("user_id", String(MAX_USER), primary_key=True),
    Column("objective_weights", JSON, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
PRESETS = Table(
    "presets",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("preset", JSON, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
TABLES = (PREFERENCES, PRESETS)
