from __future__ import annotations

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.model import capacity
from mavis_core.model.capacity import kv_blocks
from mavis_core.model.kv_pool import CacheSpec

CPU = torch.device("cpu")
CACHES = [CacheSpec(2, 3, 5), CacheSpec(1, 1, 7)]  # 60 + 14 numbers per token, of 4 bytes


def blocks(config: EngineConfig) -> int:
    return kv_blocks(config, CACHES, 23, torch.float32, CPU)


def test_no_more_than_full_rows_could_fill() -> None:
    assert blocks(EngineConfig(max_num_seqs=7, block_size=5)) == 7 * 5


def test_what_is_asked_for_is_given_in_whole_blocks() -> None:
    assert blocks(EngineConfig(kv_cache_tokens=19, block_size=5)) == 3


def test_memory_bounds_all_caches_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "CPU_KV_BYTES", 11 * 5 * 74 * 4 + 1)
    assert blocks(EngineConfig(max_num_seqs=7, block_size=5)) == 11


def test_too_little_is_a_load_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "CPU_KV_BYTES", 100)
    with pytest.raises(LoadError, match="no memory is left for the KV cache"):
        blocks(EngineConfig(block_size=5))
