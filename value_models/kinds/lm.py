"""Kind ``lm``: a separate small causal LM with M regression outputs (MAVIS: one per objective, or a student).

V(s + a) is the readout at token a. The K candidates of a row are K sibling positions that share the row's KV
and do not see each other, so one forward of G * K positions scores them all; the drawn sibling's KV is kept,
never recomputed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mavis_core.attention import PrefillAttention
from mavis_core.kv_pool import KVPool
from mavis_core.messages import ObjectiveInfo
from mavis_core.paged_model import PagedModel
from mavis_core.value import ScoreStep, ValueSpec


class LmValue:
    """A loaded value LM.

    Args:
        name: for messages.
        objectives: M.
        backbone: a transformers model without or with an LM head (which is not used), same vocabulary as the policy.
        readout: D' -> M.

    Raises:
        LoadError: the backbone's architecture is not supported.
    """

    def __init__(self, name: str, objectives: Sequence[ObjectiveInfo], backbone: Any, readout: nn.Linear) -> None:
        self.model = PagedModel(backbone, name)
        self.readout = readout.eval().requires_grad_(False)
        self.spec = ValueSpec(name, tuple(objectives), (self.model.cache,), self.model.max_positions)

    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        (self._pool,) = pools
        self.model.base.to(device=device, dtype=dtype)
        self.readout.to(device=device, dtype=torch.float32)
        self.model.probe()

    def extend(self, tokens: Tensor, positions: Tensor, attention: PrefillAttention) -> None:
        self.model.forward(tokens, positions, attention)

    def score(self, step: ScoreStep) -> Tensor:
        rows, width = step.candidates.shape
        self._siblings = step.sibling_attention(self._pool)
        positions = step.length.repeat_interleave(width)
        hidden = self.model.forward(step.candidates.reshape(-1), positions, self._siblings)
        values: Tensor = self.readout(hidden.float())
        return values.view(rows, width, -1)

    def commit(self, step: ScoreStep, chosen: Tensor) -> None:
        """The drawn candidate's KV is there already; it is kept as the row's."""
        self._siblings.keep(chosen)

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        texts = [torch.tensor([*tokens, candidate], device=hidden.device) for candidate in candidates]
        return torch.stack([self.readout(self.model.forward_plain(text)[-1].float()) for text in texts])
