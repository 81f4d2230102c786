"""Random-weight models of given shapes, for timings that do not depend on what the weights say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.policy import Policy
from value_models.kinds.head import HeadValue
from value_models.kinds.head_network import HeadNetwork
from value_models.kinds.lm import LmValue
from value_models.kinds.lm_backbone import build_lm

OBJECTIVES = tuple(f"objective_{number}" for number in range(1, 5))


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's dimensions."""

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int

    def config(self) -> LlamaConfig:
        return LlamaConfig(
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            intermediate_size=self.intermediate,
            max_position_embeddings=2048,
            tie_word_embeddings=False,
        )


SHAPES = {
    "tiny": Shape(257, 64, 1, 4, 2, 96),
    "30m": Shape(4096, 512, 8, 8, 4, 1408),
    "1b": Shape(32000, 2048, 22, 32, 4, 5632),
    "7b": Shape(32000, 4096, 32, 32, 8, 14336),
}


def random_policy(shape: Shape, device: torch.device, dtype: torch.dtype) -> Policy:
    """A policy of random weights, made on its device."""
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM._from_config(shape.config(), dtype=dtype)
    return Policy(model.to(device), None, "random")


def random_head(policy: Policy, objectives: int = len(OBJECTIVES)) -> HeadValue:
    """Heads, stacked, of the width and rank that ship."""
    network = HeadNetwork(objectives, policy.readout.weight.shape[1], 128, 16)
    return HeadValue("random-head", _objectives("head", range(objectives)), network, policy.readout.weight)


def random_lm(policy: Policy, hidden: int, layers: int, objectives: range = range(len(OBJECTIVES))) -> LmValue:
    """One value LM over the policy's vocabulary, with an output for each objective."""
    backbone, readout = build_lm(lm_architecture(policy, hidden, layers), len(objectives))
    return LmValue(f"random-lm-{objectives.start}", _objectives("lm", objectives), backbone, readout)


def lm_architecture(policy: Policy, hidden: int, layers: int) -> dict[str, Any]:
    """A small Llama over the policy's vocabulary."""
    return {
        "model_type": "llama",
        "vocab_size": policy.vocab_size,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, hidden // 64),
        "num_key_value_heads": 1,
        "max_position_embeddings": policy.max_model_len,
    }


def _objectives(kind: str, numbers: range) -> list[ObjectiveInfo]:
    names = [f"objective_{number + 1}" for number in numbers]
    return [ObjectiveInfo(name, name, kind, "random", 0.0, 1.0, 1.0, (-16.0, 16.0)) for name in names]
