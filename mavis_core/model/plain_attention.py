"""Attention as transformers itself computes it, without our cache: what paged attention is compared with."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward


def plain_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **asked: Any
) -> tuple[Tensor, Tensor | None]:
    """SDPA, or the model's own slow function where a layer asks for a cap or sinks, which SDPA does not know.

    query (R, H, T, D), key and value (R, H_kv, T, D), mask (R, 1, T, T) bool or None for a causal one -> (R, T, H, D).
    """
    found: tuple[Tensor, Tensor | None]
    if asked.get("softcap") is None and asked.get("s_aux") is None:
        found = sdpa_attention_forward(module, query, key, value, mask, **asked)
        return found
    if mask is None:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()[None, None]
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill_(~mask, -torch.inf)
    eager = sys.modules[type(module).__module__].eager_attention_forward
    found = eager(module, query, key, value, mask, **asked)
    return found
