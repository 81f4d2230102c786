from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model import packed_linear
from mavis_core.model.packed_linear import (
    HalfLinear,
    OneDnnLinear,
    PackedLinear,
    in_float16,
    pack,
    packable,
    packed,
    packed_output,
    weight_count,
)
from mavis_core.model.policy import Policy
from mavis_core.model.quantization import weight_bytes
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from mavis_core.values.protocol import ValueFunction
from tests.models import head_value, lm_value, tiny_model
from value_models.identity import identify


def linear(outputs: int = 70, inputs: int = 48, bias: bool = False) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


def narrow(layer: nn.Linear, dtype: torch.dtype = torch.bfloat16) -> nn.Linear:
    """The layer in float32, of numbers that were saved in 16 bits."""
    return layer.to(dtype).float()


@pytest.fixture(autouse=True)
def however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "SMALLEST", 1)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (33, 48), (0, 48), (2, 5, 48)])
def test_the_product_is_the_layers_own(shape: tuple[int, ...], bias: bool) -> None:
    plain, x = linear(bias=bias), torch.randn(shape)
    torch.testing.assert_close(OneDnnLinear(plain)(x), plain(x), rtol=1e-5, atol=1e-6)
    rounded = narrow(plain)
    torch.testing.assert_close(HalfLinear(rounded)(x), rounded(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_was_saved_in_16_bits_is_packed_in_float16_without_loss(dtype: torch.dtype) -> None:
    plain = narrow(linear(bias=True), dtype)
    assert plain.weight.dtype == torch.float32
    assert in_float16(plain.weight)
    half = packed(plain)
    assert isinstance(half, HalfLinear)
    assert half.nbytes == 2 * plain.weight.numel()
    again = copy.deepcopy(half)
    assert isinstance(again, nn.Linear)
    torch.testing.assert_close(again.weight, plain.weight, rtol=0, atol=2**-24)


def test_other_weights_are_rounded_to_float16_only_where_that_is_asked_for() -> None:
    plain = linear()
    assert isinstance(packed(plain), OneDnnLinear)
    assert isinstance(packed(plain, rounded=True), HalfLinear)
    plain.weight[0, 0] = 1e5
    assert isinstance(packed(plain, rounded=True), OneDnnLinear)
    assert not in_float16(plain.weight.bfloat16())


def test_without_the_library_nothing_is_packed_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = narrow(linear())
    monkeypatch.setattr(packed_linear, "ENGINE", "not here")
    assert isinstance(packed(plain), OneDnnLinear)


def test_only_what_is_large_and_on_the_cpu_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packable(linear())
    assert not packable(linear().to(torch.float64))
    assert not packable(linear().to("meta"))
    assert not packable(nn.LayerNorm(3))
    monkeypatch.setattr(packed_linear, "SMALLEST", 70 * 48 + 1)
    assert not packable(linear())


def test_a_model_is_no_larger_when_it_is_packed() -> None:
    packed = tiny_model("llama")
    plain = packed.state_dict()
    numbers, memory = weight_count(packed), weight_bytes(packed)
    pack(packed.model)
    layers = [layer for layer in packed.modules() if isinstance(layer, PackedLinear)]
    assert len(layers) == 2 * 7
    assert all(layer.weight is None for layer in layers)
    assert weight_bytes(packed) == memory
    assert weight_count(packed) == numbers == sum(weight.numel() for weight in plain.values())


def test_a_copy_is_plain_again_and_can_be_trained() -> None:
    plain = tiny_model("qwen2").model
    packed = copy.deepcopy(plain)
    pack(packed)
    again = copy.deepcopy(packed)
    assert again.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(weight, plain.state_dict()[name]) for name, weight in again.state_dict().items())
    again.requires_grad_(True)(input_ids=torch.tensor([[1, 2]]), use_cache=False).last_hidden_state.sum().backward()
    assert all(weight.grad is not None for weight in again.parameters())


def test_an_output_layer_keeps_its_weight() -> None:
    plain = linear()
    output = packed_output(plain)
    assert isinstance(output, PackedLinear)
    assert output.weight is plain.weight
    assert weight_count(output) == 70 * 48
    assert weight_bytes(output) == 2 * weight_bytes(plain)
    assert packed_output(linear().to(torch.float64)).__class__ is nn.Linear


@pytest.mark.parametrize("saved", [torch.float32, torch.bfloat16])
def test_a_packed_policy_draws_what_the_slow_loop_draws_from_the_plain_one(saved: torch.dtype) -> None:
    plain, packed = (Policy(tiny_model("qwen2").to(saved).float(), None, "mine") for _ in range(2))
    own = identify(packed)
    packed.pack()
    assert identify(packed) == own
    kinds = {type(layer) for layer in packed.model.modules() if isinstance(layer, PackedLinear)}
    assert kinds == {OneDnnLinear if saved == torch.float32 else HalfLinear}
    prompts = [[5, 9, 11], [7, 3], [8, 2, 4, 6, 1]]
    sampling, guidance = SamplingParams(max_tokens=12, seed=5), Guidance({"a": 1.0, "c": -0.7}, beta=0.8)
    lm = lm_value("llama", "c")
    engine = Engine(packed, [head_value(packed, "a"), lm], EngineConfig(max_num_seqs=3))
    assert any(isinstance(layer, PackedLinear) for layer in lm.model.base.modules())
    found = generate(engine, prompts, sampling, guidance)
    slow: list[ValueFunction] = [head_value(plain, "a"), lm_value("llama", "c")]
    for prompt, (choice,) in zip(prompts, found, strict=True):
        assert choice.token_ids == reference_generate(plain, slow, prompt, sampling, guidance, 0.8).tokens
