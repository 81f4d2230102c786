"""Presets: weights under a name that clients can put into the model name, ``<model>:<preset>``.

From a YAML file, read once and not writable, and from the database, where the admin writes them and all replicas see
them at once: a stored preset is looked up when it is asked for. The file wins over the database.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, func, select

from mavis_core.errors import InvalidRequestError, LoadError
from mavis_core.messages import ObjectiveInfo
from server.database import Database, upsert
from server.errors import ReadOnlyPresetError
from server.protocol.presets import Preset
from server.tables import PRESETS
from server.weights import check_weights
from server.yaml_file import read_yaml

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = "1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
MAX_PRESETS = 256
FILE = TypeAdapter(dict[str, Preset])


class Presets:
    def __init__(self, file: Mapping[str, Preset], database: Database) -> None:
        self.file = file
        self._database = database

    async def get(self, name: str) -> Preset | None:
        """Raises DatabaseUnavailableError."""
        if name in self.file or not NAME.fullmatch(name):
            return self.file.get(name)

        def work(connection: Connection) -> Preset | None:
            row = connection.execute(select(PRESETS.c.preset).where(PRESETS.c.name == name)).one_or_none()
            return None if row is None else Preset.model_validate(row[0])

        return await self._database.read(work, None)

    async def stored(self) -> dict[str, Preset]:
        """Those of the database that no preset of the file hides, by name; raises DatabaseUnavailableError."""

        def work(connection: Connection) -> dict[str, Preset]:
            rows = connection.execute(select(PRESETS.c.name, PRESETS.c.preset).order_by(PRESETS.c.name))
            return {name: Preset.model_validate(preset) for name, preset in rows if name not in self.file}

        return await self._database.read(work, {})

    async def put(self, name: str, preset: Preset) -> None:
        """Raises InvalidRequestError, ReadOnlyPresetError, DatabaseUnavailableError."""
        if not NAME.fullmatch(name):
            raise InvalidRequestError(f"name={name[:80]!r}: must be {NAME_RULE}", "name")
        self._refuse_file(name)
        values = {"preset": preset.model_dump(exclude_none=True), "updated_at": int(time.time())}

        def work(connection: Connection) -> None:
            others = connection.execute(select(func.count()).where(PRESETS.c.name != name)).scalar_one()
            if others >= MAX_PRESETS:
                raise InvalidRequestError(f"there are {MAX_PRESETS} stored presets, no more fit: delete one")
            upsert(connection, PRESETS, {"name": name}, values)

        await self._database.write(work)

    async def delete(self, name: str) -> bool:
        """Whether there was one; raises ReadOnlyPresetError, DatabaseUnavailableError."""
        self._refuse_file(name)
        if await self.get(name) is None:
            return False
        return await self._database.write(
            lambda connection: connection.execute(delete(PRESETS).where(PRESETS.c.name == name)).rowcount > 0
        )

    def _refuse_file(self, name: str) -> None:
        if name in self.file:
            raise ReadOnlyPresetError(f"preset {name!r} comes from the server's presets file and can only change there")


def read_presets(path: Path | None) -> dict[str, Preset]:
    """The presets of the file, correct in form.

    Raises:
        LoadError: naming file, preset and field.
    """
    if path is None:
        return {}
    presets = read_yaml(path, FILE)
    if len(presets) > MAX_PRESETS:
        raise LoadError(f"{path}: {len(presets)} presets: at most {MAX_PRESETS}")
    for name, preset in presets.items():
        if not NAME.fullmatch(name):
            raise LoadError(f"{path}: preset {name[:80]!r}: a name is {NAME_RULE}")
        try:
            preset.check_ranges()
        except InvalidRequestError as error:
            raise LoadError(f"{path}: preset {name!r}: {error}") from None
    return presets


def check_presets(presets: Mapping[str, Preset], path: Path | None, objectives: Iterable[ObjectiveInfo]) -> None:
    """That the loaded values can serve the file's presets.

    Raises:
        LoadError: naming file, preset and objective.
    """
    objectives = tuple(objectives)
    for name, preset in presets.items():
        try:
            check_weights(preset.objective_weights, objectives)
        except InvalidRequestError as error:
            raise LoadError(f"{path}: preset {name!r}: {error}") from None
