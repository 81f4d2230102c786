from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import ConfigError, LoadError
from mavis_core.model.policy import Policy
from mavis_core.model.quantization import (
    Int4Linear,
    Int8Linear,
    QuantizedLinear,
    eight_bits,
    four_bits,
    quantize,
    weight_bytes,
)
from tests.models import lm_value, tiny_model

ERROR = {"int8": 0.012, "int4": 0.12}
"""Of a product with random weights, over its norm: rounding to 1/127 of the largest, to 1/15 of a group's range."""


def linear(bias: bool) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(96, 64, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("made", [Int8Linear, Int4Linear])
def test_a_layer_multiplies_by_what_its_bits_stand_for(made: type[QuantizedLinear], bias: bool) -> None:
    plain = linear(bias)
    x = torch.randn(2, 5, 96)
    if made is Int8Linear:
        levels, scale = eight_bits(plain.weight)
        weight = levels.float() * scale.float()[:, None]
    else:
        levels, scales = four_bits(plain.weight)
        size, middle = scales.float().repeat_interleave(32, 0).permute(2, 1, 0)
        weight = (levels.float() - 8) * size + middle
    expected = nn.functional.linear(x.to(torch.bfloat16).float(), weight, plain.bias)
    found = made(plain)(x)
    assert found.dtype == x.dtype
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
    error = (expected - plain(x)).norm() / plain(x).norm()
    assert 1e-4 < error < ERROR["int8" if made is Int8Linear else "int4"]


@pytest.mark.parametrize("made", [Int8Linear, Int4Linear])
def test_a_row_does_not_depend_on_its_neighbours(made: type[QuantizedLinear]) -> None:
    layer, x = made(linear(False)), torch.randn(37, 96)
    together = layer(x)
    assert all(torch.equal(together[i : i + 1], layer(x[i : i + 1])) for i in range(37))


@pytest.mark.parametrize("weight", [torch.zeros(32, 32), torch.full((32, 32), 3.0)])
@pytest.mark.parametrize("made", [Int8Linear, Int4Linear])
def test_weights_all_alike_are_kept(made: type[QuantizedLinear], weight: torch.Tensor) -> None:
    plain = nn.Linear(32, 32, bias=False).requires_grad_(False)
    plain.weight.copy_(weight)
    torch.testing.assert_close(made(plain)(torch.ones(1, 32)), plain(torch.ones(1, 32)), rtol=1e-2, atol=0)


def llama() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=61, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0
    )
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize(("kind", "kl", "share"), [("int8", 1e-5, 0.4), ("int4", 2e-3, 0.3)])
def test_a_policy_of_few_bits_says_nearly_the_same_in_less_memory(kind: str, kl: float, share: float) -> None:
    policy = Policy(llama(), None, "small")
    text = torch.arange(3, 40)
    with torch.inference_mode():
        before = policy.logits(policy.backbone.forward_plain(text)).log_softmax(1)
        held, readout = weight_bytes(policy.backbone.base.layers), policy.readout.weight.clone()
        policy.quantize(kind)
        after = policy.logits(policy.backbone.forward_plain(text)).log_softmax(1)
    found = float((before.exp() * (before - after)).sum(1).mean())
    assert 1e-9 < found < kl
    assert weight_bytes(policy.backbone.base.layers) < share * held
    assert torch.equal(policy.readout.weight, readout), "values read it"
    assert policy.dtype == torch.float32


def test_the_backbone_of_an_lm_is_quantized_and_survives_a_change_of_dtype() -> None:
    value = lm_value("llama", "c")
    value.model.base.layers[0].mlp.down_proj = nn.Linear(64, 32)
    value.quantize("int4")
    value.model.base.to(torch.float32)
    layer = value.model.base.layers[0].mlp.down_proj
    assert isinstance(layer, Int4Linear)
    with torch.no_grad():
        assert math.isfinite(float(layer(torch.ones(1, 64)).sum()))


def test_what_cannot_be_quantized_is_refused() -> None:
    with pytest.raises(LoadError, match="tiny: quantization=int8: it has no linear layers whose sizes are multiples"):
        quantize(tiny_model("gpt2"), "int8", "tiny")
    mixture = MixtralForCausalLM(
        MixtralConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_local_experts=2, vocab_size=61)
    )
    with pytest.raises(LoadError, match="mix: quantization=int4: mixtures of experts are not supported"):
        quantize(mixture, "int4", "mix")
    with pytest.raises(LoadError, match="x: quantization=int4 is for the CPU; on meta serve in bfloat16"):
        quantize(llama().to("meta"), "int4", "x")
    with pytest.raises(ConfigError, match="quantization='int2': must be one of int8, int4"):
        EngineConfig(quantization="int2")  # type: ignore[arg-type]
