"""How one layer attends beyond plain causal attention: its scale, a sliding window, a cap on its scores, sinks.

Read from what transformers hands to the attention function in each layer, not from configs: there an architecture
says what it does, whatever its config calls it. What is not known here is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mavis_core.api.errors import LoadError


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """What one layer asks of attention.

    Attributes:
        scale: of the products of queries and keys.
        window: how many tokens a token sees, itself and those right before it; None: all before it.
        softcap: c of c * tanh(scores / c), before the mask; None: no cap.
        sinks: (H,) one more score per head, which takes its share and has no value; None: none.
    """

    scale: float
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None

    @classmethod
    def of(cls, scaling: float, asked: Mapping[str, Any]) -> AttentionSpec:
        """From the keywords that a layer of transformers gives its attention function.

        Raises:
            LoadError: it asks for what paged attention does not do.
        """
        for name in ("position_bias", "score_mod", "block_mask"):
            if asked.get(name) is not None:
                raise LoadError(f"its attention layers ask for {name}, which is not supported")
        if asked.get("is_causal") is False:
            raise LoadError("its attention is bidirectional; only causal attention is served")
        return cls(scaling, asked.get("sliding_window"), asked.get("softcap"), asked.get("s_aux"))

    @property
    def fused(self) -> bool:
        """Whether torch's scaled dot product attention computes it."""
        return self.softcap is None and self.sinks is None

    def capped(self, scores: Tensor) -> Tensor:
        return scores if self.softcap is None else torch.tanh(scores / self.softcap) * self.softcap

    def shares(self, scores: Tensor, groups: int) -> Tensor:
        """Softmax of masked scores (R, H', Q, T), in float32, less what the sinks take.

        Args:
            groups: how many query heads stand in Q, one after the other, H' * groups heads in all.
        """
        if self.sinks is None:
            return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)
        rows, kv_heads, queries, _ = scores.shape
        sinks = self.sinks.view(1, kv_heads, groups, 1).expand(rows, -1, -1, queries // groups)
        with_sinks = torch.cat((scores, sinks.reshape(rows, kv_heads, queries, 1).to(scores.dtype)), dim=-1)
        return with_sinks.softmax(dim=-1, dtype=torch.float32)[..., :-1].to(scores.dtype)

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, groups: int, causal: bool = False
    ) -> Tensor:
        """Attention over what is given, but for the window, which is the mask's business.

        Args:
            query: (R, H', Q, D).
            keys, values: (R, H', T, D).
            mask: (..., Q, T), bool (True is seen) or additive.
            causal: in place of a mask, T = Q: each sees itself and what is before it.
            groups: see ``shares``.
        """
        if self.fused:
            return F.scaled_dot_product_attention(
                query, keys, values, attn_mask=mask, is_causal=causal, scale=self.scale
            )
        scores = self.capped(query @ keys.transpose(-1, -2) * self.scale)
        if causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        return self.shares(scores, groups) @ values
