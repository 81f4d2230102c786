"""What the engine asks of a value: the Protocol that every kind implements, and what passes through it.

A value gives V_m(s + a), the expected final reward of objective m in z-units if the text goes on from s + a,
for every candidate a. The lifecycle follows the decode loop: ``bind`` once, ``extend`` while a prompt is
prefilled, ``score`` before the draw, ``commit`` after it. KV, where a kind keeps any, lives in pools that the
engine owns and addresses through each row's one block table; a value never frees, forks or evicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.attention import PrefillAttention
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.sample.scoring import ScoringInput


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """Constants of a value.

    Attributes:
        name: of the folder or registration, for messages.
        objectives: what it scores, in the order of its columns.
        caches: the KV caches it needs, possibly none.
        max_model_len: longest text it can read, or None for no limit of its own.
        conditioned: it gives V_m(s + a; w) for the pull w of the row, and one more column: W(s + a; w), the KL in nats
            that the policy tilted by it will still pay, which the tilt subtracts.
    """

    name: str
    objectives: tuple[ObjectiveInfo, ...]
    caches: tuple[CacheSpec, ...]
    max_model_len: int | None
    conditioned: bool = False


class ValueLoader(Protocol):
    """Where an engine gets further values from while it runs; ``value_models.loading`` has one."""

    def load(self, source: str) -> Sequence[ValueFunction]:
        """Read the values at ``source``, one per folder; called off the engine's thread. Raises LoadError."""
        ...

    def stack(self, values: Sequence[ValueFunction]) -> Sequence[ValueFunction]:
        """The values as they run, several perhaps as one; ``values`` themselves stay as they are."""
        ...


class ValueFunction(Protocol):
    """One loaded value of any kind."""

    @property
    def spec(self) -> ValueSpec: ...

    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        """Move to the engine's device and take the pools for ``spec.caches``; called once."""
        ...

    def extend(self, tokens: Tensor, positions: Tensor, attention: PrefillAttention) -> None:
        """Read prompt chunks of the rows this value guides: tokens and positions (N,) int64."""
        ...

    def score(self, inputs: ScoringInput) -> Tensor:
        """V of every candidate: (G, K, M) float32; of a conditioned value (G, K, M + 1), W last."""
        ...

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """Keep the state of the drawn candidate: chosen (G,) int64 index into K. Asked only of values with caches."""
        ...

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        """The slow oracle of ``score`` for one row, no cache: hidden (D,) -> (K, M) float32."""
        ...


class ConditionedValue(ValueFunction, Protocol):
    """A value that knows what it is wanted for: ``spec.conditioned``; its ``reference`` is asked through ``at``."""

    def at(self, tilt_weights: Sequence[float]) -> ValueFunction:
        """The value for one pull (M,), whose ``reference`` gives (K, M + 1), W last."""
        ...
