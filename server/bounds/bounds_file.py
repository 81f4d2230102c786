"""``--bounds``: a YAML file of bounds, by the names of keys, and one for all others.

A key's own bounds stand in place of the others', they are not added to them. Names are those of ``--api-key-file``,
``entry 1`` and so on for its entries without one, ``key 1`` for ``--api-key``, ``admin``, and ``anonymous`` where the
server has no keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field, TypeAdapter

from mavis_core.api.errors import ConfigError
from mavis_core.api.messages import ObjectiveInfo
from server.bounds.bounds import OTHERS, Bounds
from server.http.keys import ANONYMOUS, ApiKey, KeyRing
from server.protocol.fields import Strict
from server.yaml_file import read_yaml


class BoundsFile(Strict):
    default: Bounds = Bounds()
    keys: dict[str, Bounds] = Field(default={})

    def of(self, key: ApiKey) -> Bounds:
        return self.keys.get(key.name, self.default)

    @property
    def places(self) -> Iterator[tuple[str, Bounds]]:
        yield "default", self.default
        yield from ((f"keys.{name}", bounds) for name, bounds in self.keys.items())


FILE = TypeAdapter(BoundsFile)


def read_bounds(path: Path | None) -> BoundsFile:
    """Raises ConfigError: the file cannot be used."""
    return BoundsFile() if path is None else read_yaml(path, FILE)


def check_keys(file: BoundsFile, path: Path | None, ring: KeyRing) -> None:
    """Raises ConfigError: no caller has a name that the file bounds, which would leave somebody unbounded."""
    names = [*ring.names, *([] if ring.required else [ANONYMOUS.name])]
    for name in file.keys:
        if name not in names:
            raise ConfigError(f"{path}: keys.{name}: no key has this name; there are: {', '.join(names)}")


def check_objectives(file: BoundsFile, path: Path | None, objectives: Sequence[ObjectiveInfo]) -> None:
    """Raises ConfigError: an objective does not exist, or cannot have the weights that it is bounded to."""
    known = {objective.name: objective.weight_range for objective in objectives}
    for place, bounds in file.places:
        for name, bound in bounds.weights.items():
            if name == OTHERS:
                continue
            at = f"{path}: {place}.weights.{name}"
            if name not in known:
                raise ConfigError(f"{at}: no objective has this name; there are: {', '.join(known) or 'none'}")
            low, high = known[name]
            if (bound.floor is not None and bound.floor > high) or (bound.ceiling is not None and bound.ceiling < low):
                raise ConfigError(f"{at}: its weights go from {low:g} to {high:g}")
