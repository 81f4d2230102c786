"""Tiny random models of the architectures whose attention is not plain: windows of 8 tokens, caps, multipliers."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from transformers import (
    Cohere2Config,
    Cohere2ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GptOssConfig,
    GptOssForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    Olmo3Config,
    Olmo3ForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from mavis_core.model.policy import Policy
from tests.models import CONTEXT, EOS, HIDDEN, VOCAB

WINDOW = 8
SLIDING = {"sliding_window": WINDOW}
LAYERS = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]
QWEN = {**SLIDING, "use_sliding_window": True, "max_window_layers": 1}
MULTIPLIERS = {
    "embedding_multiplier": 3.0,
    "residual_multiplier": 0.6,
    "attention_multiplier": 0.3,
    "logits_scaling": 2.0,
}
SPECIAL: dict[str, tuple[type[Any], type[Any], dict[str, Any]]] = {
    "gemma2": (
        Gemma2Config,
        Gemma2ForCausalLM,
        {**SLIDING, "head_dim": 4, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM, {**SLIDING, "head_dim": 4, "layer_types": LAYERS}),
    "mistral": (MistralConfig, MistralForCausalLM, SLIDING),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, QWEN),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, QWEN),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM, {"no_rope_layer_interval": 2}),
    "phi3": (Phi3Config, Phi3ForCausalLM, SLIDING),
    "olmo2": (Olmo2Config, Olmo2ForCausalLM, {}),
    "olmo3": (Olmo3Config, Olmo3ForCausalLM, {**SLIDING, "layer_types": LAYERS}),
    "granite": (GraniteConfig, GraniteForCausalLM, MULTIPLIERS),
    "cohere2": (Cohere2Config, Cohere2ForCausalLM, {**SLIDING, "layer_types": LAYERS, "logit_scale": 0.5}),
    "gpt_oss": (GptOssConfig, GptOssForCausalLM, {**SLIDING, "head_dim": 4, "layer_types": LAYERS}),
}


def special_config(architecture: str) -> Any:
    config, _, own = SPECIAL[architecture]
    return config(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        intermediate_size=40,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        eos_token_id=EOS,
        bos_token_id=1,
        pad_token_id=0,
        **own,
    )


def special_model(architecture: str, seed: int = 0) -> Any:
    """Random, every parameter that begins as a constant (norms, sinks) drawn too."""
    torch.manual_seed(seed)
    model = SPECIAL[architecture][1](special_config(architecture)).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


@cache
def special_policy(architecture: str) -> Policy:
    return Policy(special_model(architecture), None, f"tiny-{architecture}")


def transformers_own(policy: Policy) -> Any:
    """A copy that attends as transformers does."""
    model = copy.deepcopy(policy.model)
    model.set_attn_implementation("eager")
    return model
