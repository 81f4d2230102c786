"""What values with a causal LM of their own share: the model over paged KV, placed, packed, probed, reading prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.attention import RowsStep
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.paged_model import PagedModel
from mavis_core.values.protocol import ValueSpec


class OwnLm:
    """A value LM: a backbone, and a readout of its hidden state that is evaluated in float32.

    Args:
        name: for messages.
        objectives: M.
        backbone: a transformers model without or with an LM head (which is not used), same vocabulary as the policy.
        readout: what the kind makes of the hidden state.

    Raises:
        LoadError: the backbone's architecture is not supported.
    """

    def __init__(self, name: str, objectives: Sequence[ObjectiveInfo], backbone: Any, readout: nn.Module) -> None:
        self.model = PagedModel(backbone, name)
        self.readout: Any = readout.eval().requires_grad_(False)
        self.spec = ValueSpec(name, tuple(objectives), (self.model.cache,), self.model.max_positions)

    def quantize(self, kind: str) -> None:
        """Before it is bound; see ``mavis_core.model.quantization``. Raises LoadError."""
        self.model.quantize(kind)

    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        (self._pool,) = pools
        self.model.base.to(device=device, dtype=dtype)
        self.model.pack()
        self.readout.to(device=device, dtype=torch.float32)
        self.model.probe()

    def extend(self, tokens: Tensor, positions: Tensor, attention: RowsStep) -> None:
        self.model.forward(tokens, positions, attention)
