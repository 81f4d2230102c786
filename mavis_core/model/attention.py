"""Attention over paged KV, entered through transformers' attention interface.

A forward is given one of the step objects below as the keyword ``kv_step``; transformers passes it through to
every attention layer, which calls ``attend``. So standard-attention models of transformers run unchanged, with
our cache. Without ``kv_step`` the layer falls back to transformers' own attention (the reference loop, training).

What a layer asks for beyond that, such as a sliding window, reaches ``attend`` as an ``AttentionSpec``.
Grouped-query heads are never repeated in decode: the heads that share a KV head are laid out as its queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.held_kv import HeldKV
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.plain_attention import plain_attention
from mavis_core.model.span import Span, length_mask, window_span

ATTENTION = "mavis_paged"
SMALLEST_STRIP = 256


class AttentionStep(Protocol):
    """What a forward is given as ``kv_step``; ``backends`` say who makes it."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
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


@dataclass(slots=True)
class DecodeAttention:
    """One new token per row, each over its own block table.

    Attributes:
        pool: of the model that runs.
        slots: (B,) int64, where each row's new token is stored.
        length: (B,) int64, tokens of each row with the new one.
        whole: all tokens of each row, the new one among them.
        windows: the same through each sliding window that a layer has asked for in this step.
        held: copies of the rows' KV from earlier steps, or None to read the blocks anew.
        newest: (B,) int64, the position of each row's new token.
    """

    pool: KVPool
    slots: Tensor
    length: Tensor
    whole: Span
    windows: dict[int, Span] = field(default_factory=dict)
    held: HeldKV | None = None
    newest: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.newest = self.length - 1  # once, not in every layer

    def over(self, pool: KVPool) -> DecodeAttention:
        return replace(self, pool=pool, held=None)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        rows, heads, dim = query.shape
        kv_heads = key.shape[1]
        groups = heads // kv_heads
        entries = torch.stack((key, value), dim=1)
        self.pool.store(layer, self.slots, entries)
        span = self.span(spec.window)
        if self.held is None or span is not self.whole:
            cached = self.pool.gather(layer, span.block_table)
        else:
            cached = self.held.with_newest(layer, entries, self.newest, span.block_table)
        keys, values = cached.permute(2, 0, 3, 1, 4).unbind(0)
        out = spec.attend(query.reshape(rows, kv_heads, groups, dim), keys, values, span.mask, groups)
        return out.reshape(rows, heads, dim)

    def span(self, window: int | None) -> Span:
        return _through(self.windows, self.whole, window, self.pool, self.newest, self.length)


def _through(
    known: dict[int, Span], whole: Span, window: int | None, pool: KVPool, position: Tensor, length: Tensor
) -> Span:
    """``whole`` through a window; itself where no row is as long. Kept in ``known``: other layers ask again.

    A ``position`` may be the one right behind all that is cached, so a window of just that width hides a token.
    """
    if window is None or window > whole.mask.shape[-1]:
        return whole
    if window not in known:
        known[window] = window_span(whole.block_table, pool.block_size, position, length, window, whole.mask.dtype)
    return known[window]


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

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        self.pool.write(layer, self.slots, key, value)
        return torch.cat([self._attend(layer, chunk, query, key, value, spec) for chunk in self.chunks])

    def _attend(
        self, layer: int, chunk: Chunk, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec
    ) -> Tensor:
        own = slice(chunk.start, chunk.stop)
        count, window = chunk.stop - chunk.start, spec.window
        if window is not None and window >= chunk.context + count:
            window = None
        keys, values, before = key[own], value[own], 0
        if chunk.context:
            unseen = 0 if window is None else max(0, chunk.context - window + 1) // self.pool.block_size
            before = chunk.context - unseen * self.pool.block_size
            cached = self.pool.gather(layer, chunk.block_table[:, unseen:])[0, : before + count]
            keys, values = cached[:, 0], cached[:, 1]
        queries, keys, values = _by_kv_head(query[own], keys, values, spec)
        found = []
        for start, stop in strips(count, window):
            first = 0 if window is None else max(0, before + start - window + 1)
            seen = slice(first, before + stop)
            mask = strip_mask(before + start - first, stop - start, window, query.device)
            causal = mask is None and stop - start > 1
            found.append(spec.attend(queries[:, :, start:stop], keys[:, :, seen], values[:, :, seen], mask, 1, causal))
        return torch.cat(found, dim=2).flatten(0, 1).transpose(0, 1)


def _by_kv_head(query: Tensor, keys: Tensor, values: Tensor, spec: AttentionSpec) -> tuple[Tensor, Tensor, Tensor]:
    """query (N, H, D), keys and values (T, H_kv, D) as ``AttentionSpec.attend`` takes them, its rows the KV heads.

    Nothing is copied, but where a layer asks for what must be computed over all heads at once.
    """
    count, heads, dim = query.shape
    kv_heads = keys.shape[1]
    groups = heads // kv_heads
    if not spec.fused:
        whole = [x.transpose(0, 1).repeat_interleave(groups, dim=0)[None] for x in (keys, values)]
        return query.transpose(0, 1)[None], whole[0], whole[1]
    shared = [x.transpose(0, 1)[:, None].expand(-1, groups, -1, -1) for x in (keys, values)]
    return query.view(count, kv_heads, groups, dim).permute(1, 2, 0, 3), shared[0], shared[1]


def strips(count: int, window: int | None) -> Iterator[tuple[int, int]]:
    """Where ``count`` queries are cut, so that those of one strip see about the same keys through a window."""
    step = count if window is None else max(window, SMALLEST_STRIP)
    for start in range(0, count, step):
        yield start, min(count, start + step)


def strip_mask(before: int, count: int, window: int | None, device: torch.device) -> Tensor | None:
    """(count, before + count) bool, what each of the last ``count`` of so many tokens sees; None: causal alone does."""
    if window is None and not before:
        return None
    position = torch.arange(before + count, device=device)
    own = position[before:, None]
    seen = position <= own
    return seen if window is None else seen & (position > own - window)


@dataclass(slots=True)
class MixedAttention:
    """Decode rows first, prompt chunks after them, in one forward; each as its backend computes it."""

    decode: DecodeStep
    prefill: RowsStep

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        rows = self.decode.slots.shape[0]
        first = self.decode.attend(layer, query[:rows], key[:rows], value[:rows], spec)
        rest = self.prefill.attend(layer, query[rows:], key[rows:], value[rows:], spec)
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
        table = block_table[:, : -(-longest // pool.block_size)]
        self._whole = Span(table, length_mask(length, table.shape[1] * pool.block_size, pool.data.dtype))
        self._windows: dict[int, Span] = {}
        self.siblings = torch.empty(
            (spec.layers, self.rows * width, 2, spec.kv_heads, spec.head_dim),
            dtype=pool.data.dtype,
            device=pool.data.device,
        )

    def keep(self, chosen: Tensor) -> None:
        """Store one sibling of each row, chosen (G,) int64 index into K, at its position: all layers in one write."""
        at = torch.arange(self.rows, device=chosen.device) * self.width + chosen
        self.pool.write_all(self.pool.slots(self._whole_table, self._length), self.siblings[:, at])

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        torch.stack((key, value), dim=1, out=self.siblings[layer])
        span = _through(self._windows, self._whole, spec.window, self.pool, self._length, self._length)
        cached = self.pool.gather(layer, span.block_table)
        total, heads, dim = query.shape
        kv_heads, width = key.shape[1], total // self.rows
        groups = heads // kv_heads
        # (G, K, H, D) -> (G, H_kv, groups * K, D): the heads of a group and the siblings are all queries.
        queries = (query * spec.scale).view(self.rows, width, kv_heads, groups, dim).permute(0, 2, 3, 1, 4)
        flat = queries.reshape(self.rows, kv_heads, groups * width, dim)
        own_key = key.view(self.rows, width, kv_heads, 1, dim).permute(0, 2, 3, 1, 4)
        own_value = value.view(self.rows, width, kv_heads, 1, dim).permute(0, 2, 3, 1, 4)
        prefix = spec.capped(flat @ cached[:, :, 0].permute(0, 2, 3, 1)) + span.mask
        itself = spec.capped((queries * own_key).sum(-1)).reshape(self.rows, kv_heads, groups * width, 1)
        share = spec.shares(torch.cat((prefix, itself), dim=-1), groups)
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
    **asked: Any,
) -> tuple[Tensor, Tensor | None]:
    """transformers' attention function: query (1, H, N, D), key and value (1, H_kv, N, D) -> (1, N, H, D)."""
    if kv_step is None:
        return plain_attention(module, query, key, value, attention_mask, scaling=scaling, **asked)
    spec = AttentionSpec.of(query.shape[-1] ** -0.5 if scaling is None else scaling, asked)
    out = kv_step.attend(
        module.layer_idx, query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1), spec
    )
    return out[None], None


AttentionInterface.register(ATTENTION, paged_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
