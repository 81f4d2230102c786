"""What an engine is built with; frozen, owned by nobody after construction.

Each setting is declared here and nowhere else: its default, its bounds and the words that ``mavis serve --help`` and
``docs/settings.md`` explain it with. Bounds have pydantic's names, because the server reads them through pydantic.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from mavis_core.api.errors import ConfigError

Quantization = Literal["int8", "int4"]
Compile = Literal["off", "auto"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
BOUNDS = {"ge": (operator.ge, "at least"), "gt": (operator.gt, "above"), "le": (operator.le, "at most")}


def setting(default: Any, description: str, **bounds: float) -> Any:
    """A field of a dataclass; ``bounds`` are some of ``BOUNDS``, and None is always within them."""
    return field(default=default, metadata={"description": description, **bounds})


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Settings of one engine's lifetime; vLLM's names where it has them.

    Raises:
        ConfigError: naming the setting, what was got and what is allowed.
    """

    max_model_len: int | None = setting(
        None, "Most tokens of one prompt and its answer together. Default: as many as the model was made for.", ge=2
    )
    max_num_seqs: int = setting(32, "How many answers are generated at the same time, as rows of one batch.", ge=1)
    max_num_batched_tokens: int = setting(
        2048, "Most tokens that one step of the engine computes: one per answer, and parts of new prompts.", ge=1
    )
    enable_chunked_prefill: bool = setting(
        True, "Compute long prompts in pieces between the tokens of running answers, which then need not wait."
    )
    step_stretch: float = setting(
        float("inf"),
        "While answers are being written, prompts are read in parts so small that a step takes at most this many times "
        "as long as one without prompts. inf: as large as max_num_batched_tokens allows. Default of mavis serve: 1.8.",
        gt=1,
    )
    enable_prefix_caching: bool = setting(
        True, "Keep the attention keys and values (KV) of prompts, and reuse them for prompts that begin the same way."
    )
    block_size: int = setting(16, "Tokens per block of the KV cache, the unit in which prompts share it.", ge=1)
    kv_cache_tokens: int | None = setting(
        None,
        "Size of the KV cache, in tokens of all prompts and answers together. "
        "Default: as many as max_num_seqs answers of the greatest length need, or as memory holds.",
        ge=1,
    )
    gpu_memory_utilization: float = setting(
        0.85,
        "Share of the GPU's memory that model, values and KV cache may take. Without meaning on a CPU.",
        gt=0,
        le=1,
    )
    max_queue: int = setting(
        128, "Answers that may wait for their turn beside max_num_seqs running ones; requests beyond get a 429.", ge=0
    )
    dtype: DType = setting(  # noqa: RUF009 (it does not look through the alias of a Literal)
        "auto",
        "Number type of weights and computation; auto is the model's own, and float32 on a CPU without bfloat16 "
        "instructions. On a CPU float16 means weights that are rounded to it, computed with in float32.",
    )
    quantization: Quantization | None = setting(  # noqa: RUF009 (likewise)
        None, "Store the weights of the model and of values of kind lm in int8 or int4, on a CPU. Default: as they are."
    )
    compile: Compile = setting(  # noqa: RUF009 (likewise)
        "off",
        "Whether the layers of a large model in 16 bits are compiled for the CPU while it is served already (auto), "
        "which takes seconds and a C++ compiler; without one it is served as it is. Default of mavis serve: auto.",
    )
    device: str = setting("auto", "Where the model runs: cpu, cuda, cuda:1, ...; auto is the GPU where there is one.")
    threads: int | None = setting(
        None,
        "Threads that one step computes with on a CPU. Default: what OMP_NUM_THREADS says; without it 1 for a small "
        "model, one per core for a large one.",
        ge=1,
    )
    attention_backend: str = setting(
        "sdpa",
        "What computes attention: the name of a module of mavis_core.model.backends; auto is triton on CUDA where it "
        "is installed, else sdpa.",
    )
    seed: int | None = setting(
        0,
        "Requests without a seed of their own get one that follows from this number and their place in the order of "
        "arrival, so that a restarted server repeats its answers. Default of mavis serve: random at every start.",
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            value, bounds = getattr(self, each.name), each.metadata.keys() & BOUNDS
            if value is not None and not all(BOUNDS[bound][0](value, each.metadata[bound]) for bound in bounds):
                allowed = " and ".join(f"{BOUNDS[bound][1]} {each.metadata[bound]}" for bound in sorted(bounds))
                raise ConfigError(f"{each.name}={value}: must be {allowed}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ConfigError(
                f"max_num_batched_tokens={self.max_num_batched_tokens}: must be at least "
                f"max_num_seqs={self.max_num_seqs}"
            )
        if self.kv_cache_tokens is not None and self.kv_cache_tokens < self.block_size:
            raise ConfigError(f"kv_cache_tokens={self.kv_cache_tokens}: must be at least block_size={self.block_size}")
        if self.dtype not in get_args(DType):
            raise ConfigError(f"dtype={self.dtype!r}: must be one of {', '.join(get_args(DType))}")
        if self.compile not in get_args(Compile):
            raise ConfigError(f"compile={self.compile!r}: must be one of {', '.join(get_args(Compile))}")
        if self.quantization not in (None, *get_args(Quantization)):
            raise ConfigError(f"quantization={self.quantization!r}: must be one of {', '.join(get_args(Quantization))}")
