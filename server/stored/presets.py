"""Presets: weights under a name that clients can put into the model name, ``<model>:<preset>``.

From a YAML file, read once and not writable, and from the database, where the admin writes them and all replicas see
them at once: a stored preset is looked up when it is asked for. The file wins over the database. What is stored belongs
to a model (``scope.py``).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, delete, func, select

from mavis_core.api.errors import InvalidRequestError, LoadError
from mavis_core.api.messages import ObjectiveInfo
from server.errors import ReadOnlyPresetError
from server.protocol.presets import Preset
from server.stored.database import Database, upsert
from server.stored.scope import Scope
from server.stored.tables import PRESETS
from server.weights import check_weights, refuse_taken
from server.yaml_file import read_yaml

log = logging.getLogger(__name__)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = "1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
MAX_PRESETS = 256
FILE = TypeAdapter(dict[str, Preset])


class Presets:
    def __init__(self, file: Mapping[str, Preset], database: Database) -> None:
        self.file = file
        self._database = database

    async def get(self, scope: Scope, name: str) -> Preset | None:
        """Raises DatabaseUnavailableError."""
        if name in self.file or not NAME.fullmatch(name):
            return self.file.get(name)
        nothing: dict[str, Preset] = {}
        return (await self._database.read(lambda connection: _found(connection, scope, name), nothing)).get(name)

    async def stored(self, scope: Scope) -> dict[str, Preset]:
        """Those of the database that no preset of the file hides, by name; raises DatabaseUnavailableError."""
        nothing: dict[str, Preset] = {}
        found = await self._database.read(lambda connection: _found(connection, scope), nothing)
        return {name: preset for name, preset in found.items() if name not in self.file}

    async def put(self, scope: Scope, name: str, preset: Preset) -> None:
        """Raises InvalidRequestError, ReadOnlyPresetError, DatabaseUnavailableError."""
        if not NAME.fullmatch(name):
            raise InvalidRequestError(f"name={name[:80]!r}: must be {NAME_RULE}", "name")
        self._refuse_file(name)
        values = {"preset": preset.model_dump(exclude_none=True), "updated_at": int(time.time())}

        def work(connection: Connection) -> None:
            others = (PRESETS.c.model == scope.model) & (PRESETS.c.name != name)
            if connection.execute(select(func.count()).where(others)).scalar_one() >= MAX_PRESETS:
                raise InvalidRequestError(f"there are {MAX_PRESETS} stored presets, no more fit: delete one")
            upsert(connection, PRESETS, {"name": name, "model": scope.model}, values)

        await self._database.write(work)

    async def delete(self, scope: Scope, name: str) -> bool:
        """Whether there was one; what it hid of no model goes too.

        Raises:
            ReadOnlyPresetError, DatabaseUnavailableError.
        """
        self._refuse_file(name)
        if await self.get(scope, name) is None:  # also keeps a delete from making the database
            return False

        def work(connection: Connection) -> bool:
            gone = (PRESETS.c.name == name) & PRESETS.c.model.in_(_rows(connection, scope, name).get(name, {}))
            return connection.execute(delete(PRESETS).where(gone)).rowcount > 0

        return await self._database.write(work)

    def _refuse_file(self, name: str) -> None:
        if name in self.file:
            raise ReadOnlyPresetError(f"preset {name!r} comes from the server's presets file and can only change there")


def _rows(connection: Connection, scope: Scope, name: str | None = None) -> dict[str, dict[str, Preset]]:
    """Of all presets that count here, or of one: by name, then by model, our own first."""
    wanted = select(PRESETS.c.name, PRESETS.c.model, PRESETS.c.preset).where(PRESETS.c.model.in_(scope.models))
    if name is not None:
        wanted = wanted.where(PRESETS.c.name == name)
    found: dict[str, dict[str, Preset]] = {}
    for each, model, content in connection.execute(wanted.order_by(PRESETS.c.name)):
        try:
            found.setdefault(each, {})[model] = Preset.model_validate(content)
        except ValidationError as error:  # of another version; one must not take the list of models along
            log.warning("the stored preset %r of %r is none to this version: %s", each, model, error)
    visible = {
        each: scope.visible((model, preset.servers_weights) for model, preset in presets.items())
        for each, presets in found.items()
    }
    return {each: {model: found[each][model] for model in models} for each, models in visible.items() if models}


def _found(connection: Connection, scope: Scope, name: str | None = None) -> dict[str, Preset]:
    return {each: next(iter(presets.values())) for each, presets in _rows(connection, scope, name).items()}


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
            check_weights(preset.servers_weights, objectives)
            refuse_taken(preset.objectives, objectives)
        except InvalidRequestError as error:
            raise LoadError(f"{path}: preset {name!r}: {error}") from None
