"""What an architecture does with its logits after the output layer: a factor (Cohere, Granite), a soft cap (Gemma)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LogitScaling:
    """Logits are ``factor`` times what the output layer gives, then ``cap`` * tanh(logits / ``cap``) where there is a
    cap. In float32.
    """

    factor: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, config: Any) -> LogitScaling:
        factor = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
        return cls(float(factor), getattr(config, "final_logit_softcapping", None))

    def __call__(self, raw: Tensor) -> Tensor:
        """raw (B, V) float32 -> (B, V) float32."""
        scaled = raw if self.factor == 1 else raw * self.factor
        return scaled if self.cap is None else torch.tanh(scaled / self.cap) * self.cap
