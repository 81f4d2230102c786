"""The objectives in words that this server knows: those of ``--objectives``, and what the admin adds while it runs.

A loaded value that scores an objective of the same name goes first: it hides one that ships, or one that was there when
the value was loaded, for as long as it is loaded. At the start it must not meet one that the operator has written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from mavis_core.api.errors import InvalidRequestError, LoadError
from mavis_core.api.messages import ObjectiveInfo
from server.objectives.instruction import Place
from server.protocol.objectives import Declaration, ObjectiveName
from server.yaml_file import read_yaml

AUTO, NONE, SHIPPED = "auto", "none", "shipped"
SHIPPED_FILE = Path(__file__).with_name("shipped.yaml")
MAX_DECLARED = 64
FILE = TypeAdapter(dict[ObjectiveName, Declaration])


@dataclass(frozen=True, slots=True)
class Declared:
    """What ``--objectives`` says: ``own`` from the operator's files, ``shipped``."""

    own: Mapping[str, Declaration]
    shipped: Mapping[str, Declaration]

    @classmethod
    def read(cls, sources: Sequence[str], shipped_model: bool) -> Declared:
        """
        Args:
            sources: of the setting ``objectives``.
            shipped_model: whether the model that ships is served, which is too small to follow an instruction.

        Raises:
            LoadError: naming the file and what is wrong in it.
        """
        own: dict[str, Declaration] = {}
        shipped: dict[str, Declaration] = {}
        wanted = SHIPPED in sources or (AUTO in sources and not shipped_model)
        for source in sources:
            if source in (AUTO, NONE, SHIPPED):
                continue
            found = read_yaml(Path(source).expanduser(), FILE)
            if twice := sorted(own.keys() & found.keys()):
                raise LoadError(f"{source}: objective {twice[0]!r} stands in another file of --objectives too")
            own |= _checked(source, found)
        if len(own) > MAX_DECLARED:
            raise LoadError(f"--objectives: {len(own)} objectives: at most {MAX_DECLARED}")
        if wanted:
            shipped = read_yaml(SHIPPED_FILE, FILE)
        return cls(own, shipped)

    def check(self, loaded: Iterable[ObjectiveInfo], place: Place | None) -> None:
        """That the operator's own can be served beside the ``loaded`` ones.

        Raises:
            LoadError: a value scores one of the same name, or the model's chat template takes no instruction.
        """
        if self.own and place is None:
            raise LoadError("--objectives: this model has no chat template that takes an instruction")
        owners = {objective.name: objective.value for objective in loaded}
        if taken := sorted(self.own.keys() & owners.keys()):
            raise LoadError(
                f"--objectives: objective {taken[0]!r} is scored by the value {owners[taken[0]]!r} already; "
                "rename one of them"
            )


def _checked(source: str, found: Mapping[str, Declaration]) -> Mapping[str, Declaration]:
    for name, declaration in found.items():
        try:
            declaration.check_ranges()
        except InvalidRequestError as error:
            raise LoadError(f"{source}: objective {name!r}: {error}") from None
    return found


class Objectives:
    """Those of ``Declared`` as they are now."""

    def __init__(self, declared: Declared) -> None:
        self._known = {**declared.shipped, **declared.own}

    def beside(self, loaded: Iterable[ObjectiveInfo]) -> dict[str, Declaration]:
        """Those that no ``loaded`` objective hides."""
        hidden = {objective.name for objective in loaded}
        return {name: declaration for name, declaration in self._known.items() if name not in hidden}

    def put(self, name: str, declaration: Declaration) -> None:
        self._known[name] = declaration

    def remove(self, name: str) -> None:
        del self._known[name]

    def full(self, name: str) -> bool:
        """Whether ``name`` would be one too many."""
        return name not in self._known and len(self._known) >= 2 * MAX_DECLARED
