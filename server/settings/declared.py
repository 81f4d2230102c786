"""Every declared setting as an operator meets it: its flag, its variable, what it takes, its default and its help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from mavis_core.api.config import BOUNDS, EngineConfig
from server.settings.settings import ENGINE, Settings

PREFIX = "MAVIS_"
KINDS = {
    bool: "on or off",
    int: "integer",
    float: "number",
    str: "text",
    SecretStr: "text",
    Path: "path",
    tuple: "list",
    dict: "name=number,...",
}
SIGNS = dict(zip(BOUNDS, ("≥", ">", "≤"), strict=True))


@dataclass(frozen=True, slots=True)
class Setting:
    """
    Attributes:
        section: the heading that it stands under.
        default: its value where nothing is set.
    """

    name: str
    section: str
    default: Any
    field: FieldInfo

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def help(self) -> str:
        assert self.field.description, self.name
        return self.field.description

    @property
    def is_switch(self) -> bool:
        return self.field.annotation is bool

    @property
    def is_secret(self) -> bool:
        return "SecretStr" in repr(self.field.annotation)

    @property
    def takes(self) -> str:
        """In words: ``integer ≥ 1``; ``exit, restart, stay``."""
        kind: Any = self.field.annotation
        if get_origin(kind) in (Union, UnionType):
            [kind] = [each for each in get_args(kind) if each is not NoneType]
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        if get_origin(kind) is Literal:
            return ", ".join(get_args(kind))
        bounds = [
            f"{sign} {getattr(m, name)}"
            for m in self.field.metadata
            for name, sign in SIGNS.items()
            if hasattr(m, name)
        ]
        return " ".join([KINDS[get_origin(kind) or kind], ", ".join(bounds)]).strip()

    @property
    def shown_default(self) -> str:
        """Empty where there is none, or none that can be written: the help text then says what happens."""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        return str(self.default) if isinstance(self.default, (int, float, str)) else ""


def _declared() -> Iterator[Setting]:
    for name, declared in Settings.model_fields.items():
        if name != "engine":
            yield Setting(name, "Server", declared.default, declared)
    types = get_type_hints(EngineConfig)
    for each in fields(EngineConfig):
        declared = FieldInfo.from_annotated_attribute(types[each.name], each)
        yield Setting(each.name, "Engine", getattr(ENGINE, each.name), declared)


SETTINGS = {setting.name: setting for setting in _declared()}
