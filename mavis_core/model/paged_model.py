"""A causal LM of transformers run over paged KV, as the policy and every value with a backbone are.

Loading refuses by name the models that paged attention would silently get wrong, then checks the others: one short
prompt through transformers' own forward and through ours must give the same hidden state.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mavis_core.api.errors import LoadError
from mavis_core.model.attention import ATTENTION, AttentionStep, Chunk, length_mask
from mavis_core.model.backends import AttentionBackend, sdpa
from mavis_core.model.kv_pool import CacheSpec, KVPool

PROBE_BLOCK = 4


class PagedModel:
    """The transformer below the output layer.

    Args:
        model: a transformers causal LM in evaluation mode; its attention implementation is set to ours.
        name: for messages.
    """

    def __init__(self, model: Any, name: str) -> None:
        refuse_unsupported(model.config, name)
        model.set_attn_implementation(ATTENTION)
        model.eval().requires_grad_(False)
        self.base: nn.Module = model.base_model
        self.config = model.config
        self.cache = CacheSpec.of(model.config)
        self.name = name

    @property
    def max_positions(self) -> int:
        config = self.config
        return int(getattr(config, "max_position_embeddings", None) or config.n_positions)

    def forward(self, tokens: Tensor, positions: Tensor, attention: AttentionStep) -> Tensor:
        """One forward of N flattened tokens: tokens and positions (N,) int64 -> last hidden state (N, D)."""
        out = self.base(input_ids=tokens[None], position_ids=positions[None], use_cache=False, kv_step=attention)
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def forward_plain(self, tokens: Tensor) -> Tensor:
        """transformers' own forward without a cache: tokens (T,) -> last hidden state (T, D); tests compare with it."""
        out = self.base(input_ids=tokens[None], use_cache=False)
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    @torch.inference_mode()
    def probe(self, backend: AttentionBackend = sdpa) -> None:
        """Prefill 6 tokens, decode a 7th, compare with transformers' own forward.

        Raises:
            LoadError: naming the model and the difference.
        """
        parameter = next(self.base.parameters())
        device, dtype = parameter.device, parameter.dtype
        count, split = 7, 6
        tokens = torch.arange(1, count + 1, device=device) % self.config.vocab_size
        positions = torch.arange(count, device=device)
        pool = KVPool(self.cache, 2, PROBE_BLOCK, dtype, device)
        table = torch.arange(2, device=device)[None]
        pool.clear(table[0])
        prefill = backend.prefill(pool, positions[:split], [Chunk(0, split, 0, table)])
        length = torch.tensor([count], device=device)
        mask = length_mask(length, 2 * PROBE_BLOCK, dtype)
        decode = backend.decode(pool, positions[split:], table, length, mask)
        self.forward(tokens[:split], positions[:split], prefill)
        ours = self.forward(tokens[split:], positions[split:], decode)[0].float()
        theirs = self.forward_plain(tokens)[-1].float()
        error = float((ours - theirs).norm() / theirs.norm().clamp_min(1e-6))
        tolerance = 1e-3 if dtype == torch.float32 else 5e-2
        if not error <= tolerance:
            raise LoadError(
                f"{self.name}: paged decoding differs from transformers' own forward by {error:.2g} "
                f"(allowed {tolerance:g}); this {self.config.model_type} model is not supported"
            )


def refuse_unsupported(config: Any, name: str) -> None:
    """Refuse, by name, architectures that are not plain causal attention in every layer."""
    if getattr(config, "is_encoder_decoder", False):
        raise LoadError(f"{name}: {config.model_type} is an encoder-decoder model; only decoder-only models are served")
    kinds = set(getattr(config, "layer_types", None) or ())
    if other := kinds - {"full_attention", "sliding_attention"}:
        raise LoadError(
            f"{name}: {config.model_type} has layers of type {', '.join(sorted(other))}; only attention is served"
        )
    if not getattr(config, "num_attention_heads", None):
        raise LoadError(f"{name}: {config.model_type} has no attention layers; recurrent models are not served")
    if getattr(config, "final_logit_softcapping", None) or getattr(config, "attn_logit_softcapping", None):
        raise LoadError(f"{name}: {config.model_type} caps its logits (logit_softcapping), which is not supported")


def sliding_window(config: Any) -> int | None:
    """The smallest window of a config's sliding layers, or None. Rows must fit inside it."""
    if getattr(config, "use_sliding_window", True) is False:
        return None
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and "sliding_attention" not in kinds:
        return None
    window = getattr(config, "sliding_window", None)
    return int(window) if window else None
