"""Values loaded into and unloaded from a running engine: what must hold, checked before anything changes.

Reading a value takes seconds and happens elsewhere (``engine_loop.py``); what is here runs between two steps. Every
check, and everything that can fail, comes before the swap, so a refusal leaves the engine as it was. The KV blocks
of an engine are counted once, at its start: a value with a cache gets pools of as many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError, UnknownValueError, ValueConflictError
from mavis_core.model.capacity import check_room
from mavis_core.model.kv_pool import KVPool
from mavis_core.schedule.row import Row
from mavis_core.values.protocol import ValueFunction
from mavis_core.values.value_set import ValueSet


def missing(loaded: Sequence[ValueFunction], values: Sequence[ValueFunction]) -> Sequence[ValueFunction]:
    """The ``values`` that are not loaded yet; if all are, all of them, which ``check_load`` then refuses.

    A value with the name and the objectives of a loaded one is that one.
    """

    def identity(value: ValueFunction) -> tuple[str, tuple[str, ...]]:
        return value.spec.name, tuple(objective.name for objective in value.spec.objectives)

    there = set(map(identity, loaded))
    return [value for value in values if identity(value) not in there] or values


def check_load(
    values: Sequence[ValueFunction],
    loaded: Sequence[ValueFunction],
    max_model_len: int,
    config: EngineConfig,
    pools: Sequence[KVPool],
) -> None:
    """Check that ``values`` can join the ``loaded`` ones of an engine that serves texts of ``max_model_len`` tokens.

    Args:
        pools: the engine's, the policy's first.

    Raises:
        ValueConflictError: a value or an objective of the same name is loaded.
        LoadError: one reads shorter texts than the engine serves, or its KV does not fit the memory.
    """
    names = {value.spec.name for value in loaded}
    owners = {objective.name: objective.value for value in loaded for objective in value.spec.objectives}
    for value in values:
        spec = value.spec
        if spec.name in names:
            raise ValueConflictError(f"a value named {spec.name!r} is loaded already; unload it first")
        if taken := [objective.name for objective in spec.objectives if objective.name in owners]:
            raise ValueConflictError(
                f"{spec.name}: objective {taken[0]!r} is scored by {owners[taken[0]]!r} already; unload that first"
            )
        if spec.max_model_len is not None and spec.max_model_len < max_model_len:
            raise LoadError(
                f"{spec.name}: reads at most {spec.max_model_len} tokens, and this engine serves texts of "
                f"{max_model_len}; start it with max_model_len={spec.max_model_len}"
            )
    check_room(config, pools, [cache for value in values for cache in value.spec.caches])


def check_unload(name: str, loaded: Sequence[ValueFunction], rows: Iterable[Row]) -> None:
    """Check that value ``name`` is loaded and that no row, running or waiting, names one of its objectives.

    Raises:
        UnknownValueError, ValueConflictError.
    """
    objectives = {objective.name for value in loaded if value.spec.name == name for objective in value.spec.objectives}
    if not objectives:
        known = ", ".join(sorted(value.spec.name for value in loaded)) or "none"
        raise UnknownValueError(f"no value named {name!r} is loaded; loaded: {known}")
    users = {row.request.id for row in rows if objectives & set(row.request.guidance.named) - dict(row.in_words).keys()}
    if users:
        raise ValueConflictError(f"value {name!r} is in use by {len(users)} request(s); try again when they are done")


def move_columns(rows: Iterable[Row], before: ValueSet, after: ValueSet) -> None:
    """Tell guided rows in flight their objectives' new columns."""
    names = [objective.name for objective in before.objectives]
    columns = {objective.name: column for column, objective in enumerate(after.objectives)}
    for row in rows:
        if row.guided:
            row.named = tuple(columns[names[column]] for column in row.named)
            # A name that is new stays the request's own if it brought an objective of that name.
            weights = dict(zip(names, row.weights, strict=True))
            row.weights = tuple(weights.get(name, 0.0) for name in columns)
            row.aims = tuple(a if a.in_words else replace(a, column=columns[a.name]) for a in row.aims)
