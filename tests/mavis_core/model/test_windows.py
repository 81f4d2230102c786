from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, Phi3Config

from mavis_core.model.windows import context_length, layer_windows, smallest_window
from tests.architectures import special_config
from tests.models import tiny_config


def test_windows_of_layers() -> None:
    assert layer_windows(special_config("gemma3")) == [8, 8, None, 8]
    assert layer_windows(special_config("mistral")) == [8] * 4
    assert layer_windows(special_config("qwen2")) == [None, 8, 8, 8]
    assert layer_windows(tiny_config("qwen2")) == layer_windows(tiny_config("llama")) == [None, None]
    assert smallest_window(special_config("gemma3")) == 8
    assert smallest_window(tiny_config("llama")) is None


def test_a_context_is_what_the_positions_allow() -> None:
    assert context_length(tiny_config("gpt2")) == context_length(special_config("gemma3")) == 128


def test_where_frequencies_grow_with_the_text_the_original_context_is_the_limit() -> None:
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    rope: dict[str, Any] = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    shape = {"hidden_size": 32, "num_attention_heads": 4, "pad_token_id": 0, "max_position_embeddings": 4096}
    phi = Phi3Config(**shape, original_max_position_embeddings=512, rope_parameters=rope)
    assert context_length(phi) == 512
    fixed = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0, "original_max_position_embeddings": 512}
    assert context_length(LlamaConfig(**shape, rope_parameters=fixed)) == 4096
