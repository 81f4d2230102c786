"""A judge's answers on disk: SQLite, one row per question, written as each answer arrives and never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path


class JudgeCache:
    """Hash of a question -> score. A context manager; commits every answer, so that a kill loses none."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, score REAL NOT NULL)")

    def __enter__(self) -> JudgeCache:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def get(self, keys: Iterable[str]) -> dict[str, float]:
        """The known ones among ``keys``."""
        rows = (
            self._database.execute("SELECT key, score FROM answers WHERE key = ?", (key,)).fetchone() for key in keys
        )
        return {row[0]: row[1] for row in rows if row is not None}

    def put(self, key: str, score: float) -> None:
        self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, score))
