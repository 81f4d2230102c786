"""Tiny random policies, values and tokenizers that the engine's tests share. Dimensions are distinct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo, Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from tests.vocabularies import KINDS
from tests.vocabularies import byte_tokenizer as byte_tokenizer
from value_models.kinds.head import HeadValue
from value_models.kinds.head_network import HeadNetwork
from value_models.kinds.lm import LmValue
from value_models.kinds.q_lm import MATRIX, QLmValue, build_readout

VOCAB, HIDDEN, EOS, CONTEXT = 61, 24, 2, 128
WIDTH, RANK = 7, 3
ARCHITECTURES: dict[str, tuple[type[Any], type[Any]]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "gemma": (GemmaConfig, GemmaForCausalLM),
    "gpt2": (GPT2Config, GPT2LMHeadModel),
}


def tiny_config(architecture: str) -> Any:
    config = ARCHITECTURES[architecture][0]
    shared = {
        "vocab_size": VOCAB,
        "eos_token_id": EOS,
        "bos_token_id": 1,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    if architecture == "gpt2":
        return config(n_embd=HIDDEN, n_layer=2, n_head=6, n_positions=CONTEXT, **shared)
    return config(
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=4,
        intermediate_size=41,
        max_position_embeddings=CONTEXT,
        **shared,
    )


def tiny_model(architecture: str, seed: int = 0) -> Any:
    """A random transformers causal LM with logits spread enough that few draws are close calls."""
    torch.manual_seed(seed)
    return ARCHITECTURES[architecture][1](tiny_config(architecture)).eval()


@cache
def tiny_policy(architecture: str) -> Policy:
    return Policy(tiny_model(architecture), None, f"tiny-{architecture}")


@cache
def text_policy(kind: str) -> Policy:
    """A random Llama with a tokenizer of ``KINDS``, and two logits more than it has tokens."""
    torch.manual_seed(0)
    tokenizer, config = KINDS[kind](), tiny_config("llama")
    config.vocab_size, config.eos_token_id = len(tokenizer) + 2, tokenizer.eos_token_id
    return Policy(LlamaForCausalLM(config).eval(), tokenizer, f"tiny-{kind}")


def objective(name: str, beta: float = 1.0, weight_range: tuple[float, float] = (-16, 16)) -> ObjectiveInfo:
    return ObjectiveInfo(name, f"about {name}", "test", "v", 0.0, 1.0, beta, weight_range)


def head_network(objectives: int, seed: int) -> HeadNetwork:
    torch.manual_seed(seed)
    network = HeadNetwork(objectives, HIDDEN, WIDTH, RANK)
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.3)
    return network


def head_value(policy: Policy, *names: str, seed: int = 1) -> HeadValue:
    network = head_network(len(names), seed)
    return HeadValue("head-" + "-".join(names), [objective(n) for n in names], network, policy.readout.weight)


def lm_value(architecture: str, *names: str, seed: int = 5) -> LmValue:
    model = tiny_model(architecture, seed)
    return LmValue("lm-" + "-".join(names), [objective(n) for n in names], model, torch.nn.Linear(HIDDEN, len(names)))


def q_lm_parts(model: Any, objectives: int, seed: int, matrix: bool = False) -> tuple[Any, Any]:
    """A transformers model and a random readout of it, whose values spread like those of ``lm_value``."""
    torch.manual_seed(seed)
    readout = build_readout(MATRIX if matrix else {"width": WIDTH, "rank": RANK}, objectives, model)
    for parameter in readout.parameters():
        parameter.data.normal_(0, 0.2 if matrix else 0.3)
    return model, readout


def q_lm_value(architecture: str, *names: str, seed: int = 6, matrix: bool = False) -> QLmValue:
    parts = q_lm_parts(tiny_model(architecture, seed), len(names), seed, matrix)
    return QLmValue("q_lm-" + "-".join(names), [objective(n) for n in names], *parts)


def mixed_values(architecture: str) -> list[HeadValue | LmValue | QLmValue]:
    """Objectives a and b from two stacked heads, c and d from an ``lm``, e from a ``q_lm``."""
    policy = tiny_policy(architecture)
    heads = HeadValue.stack([head_value(policy, "a", seed=1), head_value(policy, "b", seed=2)])
    return [heads, lm_value(architecture, "c", "d"), q_lm_value(architecture, "e")]


def mixed_engine(**config: Any) -> Engine:
    """Of a Llama and ``mixed_values``."""
    return Engine(tiny_policy("llama"), mixed_values("llama"), EngineConfig(**({"block_size": 3} | config)))


def request(
    name: str, prompt: Sequence[int], sampling: SamplingParams | None = None, guidance: Guidance | None = None
) -> Request:
    """With seed 0 where ``sampling`` has none: what runs without an engine gets none given."""
    sampling = sampling or SamplingParams(max_tokens=3)
    seed = 0 if sampling.seed is None else sampling.seed
    return Request(name, tuple(prompt), replace(sampling, seed=seed), guidance or Guidance())


def run(engine: Engine) -> dict[str, dict[int, list[int]]]:
    """Step until idle: request id -> choice -> tokens."""
    tokens: dict[str, dict[int, list[int]]] = {}
    while engine.has_work:
        collect(engine, tokens)
    return tokens


def collect(engine: Engine, tokens: dict[str, dict[int, list[int]]]) -> None:
    """One step, its tokens added to ``tokens``."""
    for output in engine.step():
        choices = tokens.setdefault(output.request_id, {})
        for delta in output.deltas:
            choices.setdefault(delta.index, []).extend(delta.token_ids)


def assert_idle(engine: Engine) -> None:
    """No row and no block is left behind."""
    assert not engine.has_work
    assert not engine.scheduler.running
    assert not engine.scheduler.waiting
    assert engine.scheduler.blocks.free == engine.scheduler.blocks.num_blocks


def save_tiny_llama(folder: Path) -> None:
    """``tiny_model``, with a tokenizer that knows more tokens than it."""
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def save_byte_llama(folder: Path) -> None:
    """A random Llama over bytes with its tokenizer, as transformers saves it."""
    torch.manual_seed(0)
    config = tiny_config("llama")
    config.vocab_size, config.eos_token_id, config.pad_token_id = 257, 256, 256
    LlamaForCausalLM(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
