"""What an engine is built with; frozen, owned by nobody after construction."""

from __future__ import annotations

from dataclasses import dataclass

from mavis_core.api.errors import LoadError


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Settings of one engine's lifetime; vLLM's names where it has them.

    Attributes:
        max_model_len: most tokens (prompt + answer) of a row; None is the model's own limit.
        max_num_seqs: rows decoded together.
        max_num_batched_tokens: tokens of one step (decode rows + prefill chunks).
        enable_chunked_prefill: False prefills each prompt whole, in one step.
        enable_prefix_caching: rows that begin alike share the KV of their beginning, also one after the other.
        block_size: tokens per KV block.
        kv_cache_tokens: total KV slots; None derives it from max_num_seqs * max_model_len (CPU) or the free
            device memory (gpu_memory_utilization).
        gpu_memory_utilization: share of device memory the engine may use, weights included.
        max_queue: choices in flight beyond max_num_seqs before QueueFullError.
        dtype: "auto" (float32 on CPU, the checkpoint's on GPU), "float32", "bfloat16", "float16".
        device: "auto", "cpu", "cuda", "cuda:1", ...
        threads: that a step computes with on a CPU; None is one for a small model, torch's own default for another.
        seed: seeds of requests that bring none derive from it and from how many came before; None is a random one.
    """

    max_model_len: int | None = None
    max_num_seqs: int = 32
    max_num_batched_tokens: int = 2048
    enable_chunked_prefill: bool = True
    enable_prefix_caching: bool = True
    block_size: int = 16
    kv_cache_tokens: int | None = None
    gpu_memory_utilization: float = 0.85
    max_queue: int = 128
    dtype: str = "auto"
    device: str = "auto"
    threads: int | None = None
    seed: int | None = 0

    def __post_init__(self) -> None:
        for name in ("max_num_seqs", "max_num_batched_tokens", "block_size", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise LoadError(f"{name}={value}: must be at least 1")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise LoadError(
                f"max_num_batched_tokens={self.max_num_batched_tokens}: must be at least "
                f"max_num_seqs={self.max_num_seqs}"
            )
        if self.max_queue < 0:
            raise LoadError(f"max_queue={self.max_queue}: must be at least 0")
        if self.max_model_len is not None and self.max_model_len < 2:
            raise LoadError(f"max_model_len={self.max_model_len}: must be at least 2")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise LoadError(f"gpu_memory_utilization={self.gpu_memory_utilization}: must be above 0, up to 1")
        if self.dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise LoadError(f"dtype={self.dtype!r}: must be auto, float32, bfloat16 or float16")
