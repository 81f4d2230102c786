"""All objectives that a request may weigh without bringing them: the loaded ones, then those in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mavis_core.api.messages import ObjectiveInfo
from server.protocol.objectives import Declaration


@dataclass(frozen=True, slots=True)
class Known:
    """``declared`` are those in words, by name; ``infos`` describe all."""

    infos: tuple[ObjectiveInfo, ...]
    declared: Mapping[str, Declaration]

    @classmethod
    def of(cls, loaded: Sequence[ObjectiveInfo], declared: Mapping[str, Declaration]) -> Known:
        return cls((*loaded, *(each.info(name) for name, each in declared.items())), declared)

    def instruction(self, name: str) -> str | None:
        return self.declared[name].instruction if name in self.declared else None
