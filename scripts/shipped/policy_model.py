"""The shipped policy's architecture, and what training adds to it from outside.

A plain Llama, so that any transformers program loads it. Llama has attention dropout only; a run that passes the
corpus many times needs more: dropout after the embedding and after each residual branch hangs on as forward hooks
and leaves no trace in the saved model.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM

MAX_FILE_BYTES = 16_000_000


def build_policy(vocabulary: int, dropout: float, special: dict[str, int]) -> LlamaForCausalLM:
    """4.57 M parameters at a vocabulary of 4,096: sized for about an hour of two CPU cores, 9.2 MB in bfloat16."""
    AttentionInterface.register("causal_sdpa", _causal_sdpa)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=5,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        attention_dropout=dropout,
        attn_implementation="causal_sdpa",
        **special,
    )
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):  # writers of the residual stream
            nn.init.normal_(parameter, std=0.02 / (2 * config.num_hidden_layers) ** 0.5)
    for name, module in model.named_modules():
        if name.endswith(("embed_tokens", "o_proj", "down_proj")):
            module.register_forward_hook(_Dropout(dropout))
    return model


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


class _Dropout:
    def __init__(self, p: float) -> None:
        self.p = p

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return F.dropout(output, self.p, training=module.training)


def _causal_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Always causal, never a mask tensor: keeps the flash kernel, also under torch.compile.

    query (B, H, T, d), key and value (B, H_kv, T, d) -> (B, T, H, d).
    """
    out = F.scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=True
    )
    return out.transpose(1, 2).contiguous(), None
