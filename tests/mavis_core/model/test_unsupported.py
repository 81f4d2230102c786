from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mavis_core.api.errors import LoadError
from mavis_core.model.unsupported import refuse_unsupported
from tests.architectures import SPECIAL, special_config
from tests.models import ARCHITECTURES, tiny_config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"is_encoder_decoder": True, "model_type": "t5"}, "x: t5 is an encoder-decoder model"),
        (
            {"layer_types": ["full_attention", "linear_attention"], "model_type": "qwen3_next"},
            "x: qwen3_next has layers of type linear_attention; only full and sliding attention are served",
        ),
        ({"model_type": "mamba"}, "x: mamba has no attention layers"),
        (
            {"use_bidirectional_attention": True, "num_attention_heads": 2, "model_type": "gemma3_text"},
            "x: gemma3_text reads texts in both directions",
        ),
        (
            {"kv_lora_rank": 512, "num_attention_heads": 2, "model_type": "deepseek_v3"},
            "x: deepseek_v3 keeps compressed keys and values",
        ),
        (
            {"num_kv_shared_layers": 15, "num_attention_heads": 2, "model_type": "gemma3n_text"},
            r"x: gemma3n_text shares keys and values between layers \(num_kv_shared_layers=15\)",
        ),
        (
            {"head_dim": 256, "global_head_dim": 512, "num_attention_heads": 2, "model_type": "gemma4_text"},
            "x: gemma4_text has heads of 256 and 512 numbers; one size is supported",
        ),
    ],
)
def test_other_architectures_are_refused_by_name(config: dict[str, Any], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        refuse_unsupported(SimpleNamespace(**config), "x")


def test_what_is_supported_is_not_refused() -> None:
    for config in [*map(tiny_config, ARCHITECTURES), *map(special_config, SPECIAL)]:
        refuse_unsupported(config, "x")
