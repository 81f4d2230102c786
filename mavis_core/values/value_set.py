"""All loaded values as one: columns of objectives, pools, and which rows each value reads.

A value is evaluated for the rows that name one of its objectives. One without a cache costs next to nothing
and is evaluated for all guided rows at once; one with a cache only ever sees its own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mavis_core.api.errors import LoadError
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.model.prefill import PrefillBatch
from mavis_core.sample.candidates import Candidates
from mavis_core.sample.row_tensors import RowTensors, first
from mavis_core.sample.scoring import Scored, ScoringInput
from mavis_core.schedule.row import Row
from mavis_core.schedule.scheduler import PrefillChunk
from mavis_core.values.protocol import ValueFunction


class ValueSet:
    """Values in loading order; their objectives, concatenated, are the M columns.

    Raises:
        LoadError: two values score an objective of the same name.
    """

    def __init__(self, values: Sequence[ValueFunction]) -> None:
        self.values = list(values)
        self.objectives: list[ObjectiveInfo] = []
        self._columns: list[slice] = []
        self._pools: list[list[KVPool]] = []
        owner: dict[str, str] = {}
        for value in self.values:
            for objective in value.spec.objectives:
                if objective.name in owner:
                    raise LoadError(
                        f"objective {objective.name!r} is scored by two values, "
                        f"{owner[objective.name]} and {value.spec.name}; load one of them"
                    )
                owner[objective.name] = value.spec.name
            start = len(self.objectives)
            self.objectives += value.spec.objectives
            self._columns.append(slice(start, len(self.objectives)))

    @property
    def caches(self) -> list[CacheSpec]:
        return [cache for value in self.values for cache in value.spec.caches]

    @property
    def caching_values(self) -> dict[str, str]:
        """Of values with a cache: by each objective the value's first one, which no other value has."""
        kept = [value.spec.objectives for value in self.values if value.spec.caches]
        return {objective.name: objectives[0].name for objectives in kept for objective in objectives}

    @property
    def pools(self) -> list[KVPool]:
        return [pool for pools in self._pools for pool in pools]

    def bind(
        self,
        num_blocks: int,
        block_size: int,
        dtype: torch.dtype,
        device: torch.device,
        before: ValueSet | None = None,
    ) -> None:
        """Give every value its pools; those that ``before`` has bound keep what they have."""
        self._device, self._block_size = device, block_size
        bound = {} if before is None else dict(zip(map(id, before.values), before._pools, strict=True))
        for value in self.values:
            pools = bound.get(id(value))
            if pools is None:
                pools = [KVPool(cache, num_blocks, block_size, dtype, device) for cache in value.spec.caches]
                value.bind(pools, device, dtype)
            self._pools.append(pools)

    def extend(self, planned: Sequence[PrefillChunk]) -> None:
        """Let values with a cache read the prompt chunks of the rows they guide."""
        for value, columns, pools in zip(self.values, self._columns, self._pools, strict=True):
            mine = [chunk for chunk in planned if pools and _reads(chunk.row, columns)]
            if mine:
                prefill = PrefillBatch.build(mine, self._block_size, self._device)
                value.extend(prefill.tokens, prefill.positions, prefill.attention(pools[0]))

    def score(self, rows: RowTensors, candidates: Candidates, hidden: Tensor) -> Scored:
        """Values of every candidate of the G guided rows, hidden (G, D), and the KL still to come.

        A value that is not a number must not reach rows that do not ask for it (0 * nan is nan), and those that do must
        not go on as if it were one: it stays what it is for them.
        """
        guided = rows.guided
        inputs = ScoringInput(
            candidates.ids,
            candidates.valid,
            first(rows.length, guided),
            first(rows.block_table, guided),
            rows.weights,
            hidden,
            candidates.reference,
            rows.max_length,
            first(rows.last_token, guided),
        )
        parts = [
            self._part(value, columns, self._readers(value, columns, rows), inputs, rows)
            for value, columns in zip(self.values, self._columns, strict=True)
        ]
        future_kls = [part[:, :, -1] for value, part in zip(self.values, parts, strict=True) if value.spec.conditioned]
        if future_kls:
            spans = zip(parts, self._columns, strict=True)
            parts = [part[:, :, : columns.stop - columns.start] for part, columns in spans]
        out = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        future_kl = sum(future_kls[1:], future_kls[0]) if future_kls else None
        return Scored(candidates, inputs, out.masked_fill(~rows.named, 0.0), future_kl)

    def _part(
        self, value: ValueFunction, columns: slice, readers: Tensor | None, inputs: ScoringInput, rows: RowTensors
    ) -> Tensor:
        """One value's columns, 0 for rows that it does not read."""
        if value.spec.conditioned:
            inputs = replace(inputs, tilt_weights=rows.tilt_weights[:, columns])
        if readers is None:
            return value.score(inputs)
        shape = (*inputs.candidates.shape, columns.stop - columns.start + value.spec.conditioned)
        part = torch.zeros(shape, dtype=torch.float32, device=inputs.candidates.device)
        if readers.numel():
            part[readers] = value.score(inputs.take(readers))
        return part

    def commit(self, rows: RowTensors, inputs: ScoringInput, chosen: Tensor) -> None:
        """Keep what the drawn candidates (G,), indices into K, leave behind."""
        for value, columns in zip(self.values, self._columns, strict=True):
            if not value.spec.caches:
                continue
            readers = self._readers(value, columns, rows)
            if readers is None:
                value.commit(inputs, chosen)
            elif readers.numel():
                value.commit(inputs.take(readers), chosen[readers])

    def _readers(self, value: ValueFunction, columns: slice, rows: RowTensors) -> Tensor | None:
        """Indices of the guided rows that a value scores, found once per set of rows; None is all of them."""
        if columns.start not in rows.readers:
            found = [i for i, row in enumerate(rows.rows[: rows.guided]) if _reads(row, columns)]
            # W counts in full for whoever reads it, so a conditioned value sees its own rows only.
            free = not value.spec.caches and not value.spec.conditioned
            everybody = len(found) == rows.guided or (bool(found) and free)
            index = None if everybody else torch.tensor(found, dtype=torch.int64).to(rows.length.device)
            rows.readers[columns.start] = index
        return rows.readers[columns.start]


def _reads(row: Row, columns: slice) -> bool:
    return row.guided and any(columns.start <= column < columns.stop for column in row.named)
