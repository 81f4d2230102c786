"""The tables of the database. ``owner`` is a caller's one-way id (``server.http.keys``), never a key, and ``model`` is
the first name of the model that a row belongs to (``server.stored.scope``).

``BEFORE`` are the tables of versions whose rows had no model; ``server.stored.migration`` moves their rows.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, MetaData, String, Table

MAX_USER = 256  # characters of a user id
MAX_MODEL = 512  # characters of a model's name
METADATA = MetaData()

PREFERENCES = Table(
    "model_preferences",
    METADATA,
    Column("owner", String(64), primary_key=True),
    Column("user_id", String(MAX_USER), primary_key=True),
    Column("model", String(MAX_MODEL), primary_key=True),
    Column("objective_weights", JSON, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
PRESETS = Table(
    "model_presets",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("model", String(MAX_MODEL), primary_key=True),
    Column("preset", JSON, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
TABLES = (PREFERENCES, PRESETS)


def _before(name: str, table: Table) -> Table:
    return Table(name, MetaData(), *(Column(c.name, c.type) for c in table.columns if c is not table.c.model))


BEFORE = {_before("preferences", PREFERENCES): PREFERENCES, _before("presets", PRESETS): PRESETS}
