"""Attention over paged KV, entered through transformers' attention interface.

A forward is given one of the step objects below as the keyword ``kv_step``; transformers passes it through to
every attention layer, which calls ``attend``. So standard-attention models of transformers run unchanged, with
our cache. Without ``kv_step`` the layer falls back to transformers' own SDPA (the reference loop, generate()).

Grouped-query heads are never repeated in decode: the heads that share a KV head are laid out as its queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from mavis_core.model.kv_pool import KVPool

ATTENTION = "mavis_paged"


class AttentionStep(Protocol):
    """What a forward is given as ``kv_step``; ``backends`` say who makes it."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """query (N, H, D), key and value (N, H_kv, D) of one layer -> (N, H, D)."""
        ...


class RowsStep(AttentionStep, Protocol):
    """Tokens that become part of their rows. Every model stores them at the same places of its own pool."""

    def over(self, pool: KVPool) -> AttentionStep:
        """The same for another model, whose KV is in ``pool``."""
        ...


class DecodeStep(RowsStep, Protocol):
    """One new token per row, stored at ``slots`` (B,)."""

    @property
    def slots(self) -> Tensor: ...


class SiblingStep(AttentionStep, Protocol):
    """Candidates of each row, of which one may be kept."""

    def keep(self, chosen: Tensor) -> None:
        """Store one candidate of each row as the row's next token: chosen (G,) int64 index into K."""
        ...


def length_mask(length: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, 1, width): 0 where position < length (B,), -inf beyond."""
    hidden = torch.arange(width, device=length.device) >= length[:, None]
    return torch.zeros(hidden.shape, dtype=dtype, device=length.device).masked_fill_(hidden, -torch.inf)[:, None, None]


@dataclass(slots=True)
class DecodeAttention:
    """One new token per row, each over its own block table.

    Attributes:
        pool: of the model that runs.
        slots: (B,) int64, where each row's new token is stored.
        block_table: (B, P) int64.
        mask: (B, 1, 1, P * block) additive; the new token itself is visible.
    """

    pool: KVPool
    slots: Tensor
    block_table: Tensor
    mask: Tensor

    def over(self, pool: KVPool) -> DecodeAttention:
        return replace(self, pool=pool)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        rows, heads, dim = query.shape
        kv_heads = key.shape[1]
        self.pool.write(layer, self.slots, key, value)
        cached = self.pool.gather(layer, self.block_table)
        keys, values = cached.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(
            query.reshape(rows, kv_heads, heads // kv_heads, dim),
            keys,
            values,
            attn_mask=self.mask,
            scale=scaling,
        )
        return out.reshape(rows, heads, dim)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tokens of one row in a flattened batch.

    Attributes:
        start, stop: where they lie among the N tokens.
        context: how many tokens of the row are in the cache before them.
        block_table: (1, P) int64 covering context and chunk; unused while context is 0.
    """

    start: int
    stop: int
    context: int
    block_table: Tensor


@dataclass(slots=True)
class PrefillAttention:
    """Prompt chunks of several rows, flattened; each sees its own cached context and itself, causally."""

    pool: KVPool
    slots: Tensor
    chunks: Sequence[Chunk]

    def over(self, pool: KVPool) -> PrefillAttention:
        return replace(self, pool=pool)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        self.pool.write(layer, self.slots, key, value)
        return torch.cat([self._attend(layer, chunk, query, key, value, scaling) for chunk in self.chunks])

    def _attend(self, layer: int, chunk: Chunk, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        own = slice(chunk.start, chunk.stop)
        keys, values, mask = key[own], value[own], None
        if chunk.context:
            total = chunk.context + chunk.stop - chunk.start
            cached = self.pool.gather(layer, chunk.block_table)[0, :total]
            keys, values = cached[:, 0], cached[:, 1]
            position = torch.arange(total, device=query.device)
            mask = position <= position[chunk.context :, None]
        groups = query.shape[1] // key.shape[1]
        out = F.scaled_dot_product_attention(
            query[own].transpose(0, 1)[None],
            keys.transpose(0, 1).repeat_interleave(groups, dim=0)[None],
            values.transpose(0, 1).repeat_interleave(groups, dim=0)[None],
            attn_mask=mask,
            is_causal=mask is None and chunk.stop - chunk.start > 1,
            scale=scaling,
        )
        return out[0].transpose(0, 1)


@dataclass(slots=True)
class MixedAttention:
    """Decode rows first, prompt chunks after them, in one forward; each as its backend computes it."""

    decode: DecodeStep
    prefill: RowsStep

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        rows = self.decode.slots.shape[0]
        first = self.decode.attend(layer, query[:rows], key[:rows], value[:rows], scaling)
        rest = self.prefill.attend(layer, query[rows:], key[rows:], value[rows:], scaling)
        return torch.cat((first, rest))


class SiblingAttention:
    """K candidate tokens of each of G rows, siblings at one position: each sees the row's cache and itself only.

    Their keys and values stay in ``siblings`` (layers, G * K, 2, H_kv, D) until one of each row is kept.

    Args:
        pool: of the model that runs.
        block_table: (G, P) int64, wide enough for one token more than each row has.
        length: (G,) int64, tokens of each row so far: the position of its siblings.
        longest: the largest length (host integer); blocks beyond it are not read.
        width: K.
    """

    def __init__(self, pool: KVPool, block_table: Tensor, length: Tensor, longest: int, width: int) -> None:
        spec = pool.spec
        self.pool = pool
        self.rows, self.width = block_table.shape[0], width
        self._whole_table, self._length = block_table, length
        self.block_table = block_table[:, : -(-longest // pool.block_size)]
        self.mask = length_mask(length, self.block_table.shape[1] * pool.block_size, pool.data.dtype)
        self.siblings = torch.empty(
            (spec.layers, self.rows * width, 2, spec.kv_heads, spec.head_dim),
            dtype=pool.data.dtype,
            device=pool.data.device,
        )

    def keep(self, chosen: Tensor) -> None:
        """Store one sibling of each row, chosen (G,) int64 index into K, at its position: all layers in one write."""
        at = torch.arange(self.rows, device=chosen.device) * self.width + chosen
        self.pool.write_all(self.pool.slots(self._whole_table, self._length), self.siblings[:, at])

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        torch.stack((key, value), dim=1, out=self.siblings[layer])
        cached = self.pool.gather(layer, self.block_table)
        total, heads, dim = query.shape
        kv_heads, width = key.shape[1], total // self.rows
        groups = heads // kv_heads
        # (G, K, H, D) -> (G, H_kv, groups * K, D): the heads of a group and the siblings are all queries.
        queries = (query * scaling).view(self.rows, width, kv_heads, groups, dim).permute(0, 2, 3, 1, 4)
        flat = queries.reshape(self.rows, kv_heads, groups * width, dim)
        own_key = key.view(self.rows, width, kv_heads, 1, dim).permute(0, 2, 3, 1, 4)
        own_value = value.view(self.rows, width, kv_heads, 1, dim).permute(0, 2, 3, 1, 4)
        prefix = flat @ cached[:, :, 0].permute(0, 2, 3, 1) + self.mask
        itself = (queries * own_key).sum(-1).reshape(self.rows, kv_heads, groups * width, 1)
        share = torch.cat((prefix, itself), dim=-1).softmax(dim=-1)
        out = share[..., :-1] @ cached[:, :, 1].transpose(1, 2)
        out = out.view(self.rows, kv_heads, groups, width, dim)
        out = out + share[..., -1].view(self.rows, kv_heads, groups, width, 1) * own_value
        return out.permute(0, 3, 1, 2, 4).reshape(total, heads, dim)


def paged_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    kv_step: AttentionStep | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """transformers' attention function: query (1, H, N, D), key and value (1, H_kv, N, D) -> (1, N, H, D)."""
    if kv_step is None:
        found: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return found
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = kv_step.attend(
        module.layer_idx, query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1), scale
    )
    return out[None], None


AttentionInterface.register(ATTENTION, paged_attention)
