"""All kinds by name, and the stacking of values, which asks every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mavis_core.values.protocol import ValueFunction
from value_models.kinds.conditioned_head import CONDITIONED_HEAD
from value_models.kinds.head import HEAD
from value_models.kinds.implicit import IMPLICIT
from value_models.kinds.kind import Kind
from value_models.kinds.lm import LM
from value_models.kinds.moments import MOMENTS
from value_models.kinds.policy import POLICY
from value_models.kinds.q_lm import Q_LM

KINDS: dict[str, Kind] = {kind.name: kind for kind in (HEAD, CONDITIONED_HEAD, LM, Q_LM, MOMENTS, IMPLICIT, POLICY)}


def kind_names(which: Callable[[Kind], object] = lambda kind: True) -> str:
    """Names of the kinds for which ``which`` holds, for messages."""
    return ", ".join(kind.name for kind in KINDS.values() if which(kind))


def stacked(values: Sequence[ValueFunction]) -> list[ValueFunction]:
    """Values that can score as one first, then the others as they come."""
    found: list[ValueFunction] = []
    rest = list(values)
    for kind in KINDS.values():
        if kind.stack is not None:
            found += kind.stack([value for value in rest if isinstance(value, kind.value)])
            rest = [value for value in rest if not isinstance(value, kind.value)]
    return found + rest
