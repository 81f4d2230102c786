from __future__ import annotations

from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs=0: must be at least 1"),
        ({"block_size": 0}, "block_size=0: must be at least 1"),
        ({"max_num_batched_tokens": 5, "max_num_seqs": 7}, "max_num_batched_tokens=5: must be at least max_num_seqs=7"),
        ({"max_queue": -1}, "max_queue=-1: must be at least 0"),
        ({"max_model_len": 1}, "max_model_len=1: must be at least 2"),
        ({"gpu_memory_utilization": 0.0}, "gpu_memory_utilization=0.0: must be above 0 and at most 1"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization=1.5: must be above 0 and at most 1"),
        ({"kv_cache_tokens": 0}, "kv_cache_tokens=0: must be at least 1"),
        ({"kv_cache_tokens": 4, "block_size": 5}, "kv_cache_tokens=4: must be at least block_size=5"),
        ({"dtype": "int8"}, "dtype='int8': must be one of auto, float32, bfloat16, float16"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EngineConfig(**settings)
    assert str(caught.value) == message
