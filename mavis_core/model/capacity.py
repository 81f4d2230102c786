"""How many KV blocks an engine gets: as many as asked for, else as many as its rows can use and the memory holds."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.model.kv_pool import CacheSpec, KVPool

CPU_KV_BYTES = 4 << 30


def kv_blocks(
    config: EngineConfig, caches: Sequence[CacheSpec], max_model_len: int, dtype: torch.dtype, device: torch.device
) -> int:
    """Blocks of one block table over all ``caches`` (the policy's and every value's).

    Never more than ``max_num_seqs`` rows of ``max_model_len`` tokens could fill.

    Raises:
        LoadError: not even a few tokens fit.
    """
    per_token = sum(cache.numbers_per_token for cache in caches) * torch.empty((), dtype=dtype).element_size()
    wanted = -(-max_model_len // config.block_size) * config.max_num_seqs
    if config.kv_cache_tokens is not None:
        return config.kv_cache_tokens // config.block_size
    memory = _memory(config, device)
    held = min(wanted, int(memory / (per_token * config.block_size)))
    if held < 1:
        raise LoadError(
            f"no memory is left for the KV cache ({memory / 2**20:.0f} MiB for {per_token} bytes per token); "
            "raise gpu_memory_utilization or load less"
        )
    return held


def check_room(config: EngineConfig, pools: Sequence[KVPool], caches: Sequence[CacheSpec]) -> None:
    """Check that pools for ``caches``, of as many blocks, fit beside ``pools``, the policy's first.

    Raises:
        LoadError: they do not.
    """
    policy = pools[0].data
    tokens = policy.shape[1] * policy.shape[2]
    needed = sum(cache.numbers_per_token for cache in caches) * tokens * policy.element_size()
    memory = _memory(config, policy.device)
    if policy.device.type != "cuda":
        memory -= sum(pool.data.nbytes for pool in pools)
    if needed > max(0, memory):
        raise LoadError(
            f"the KV cache of {tokens} tokens needs {needed / 2**20:.0f} MiB more, {max(0, memory) / 2**20:.0f} MiB "
            "are left; start with a smaller kv_cache_tokens, or with this value from the beginning"
        )


def _memory(config: EngineConfig, device: torch.device) -> float:
    """Bytes that KV may take: what is free now on a GPU, a constant on the CPU."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return float(free - (1 - config.gpu_memory_utilization) * total)
    return CPU_KV_BYTES
