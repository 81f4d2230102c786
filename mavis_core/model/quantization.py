"""Weights of 8 or 4 bits in place of 32 or 16, for models that would not fit or are too slow on a small CPU.

Weight only, with torch's own CPU kernels: the linear layers multiply in bfloat16 by what the bits stand for, whatever
the model's dtype; embeddings, norms, attention and the output layer stay as they are, and so do values that read the
output layer. 8 bits have one scale per output, 4 bits a scale and an offset per 32 weights of an output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mavis_core.api.errors import LoadError
from mavis_core.model.packed_linear import PackedLinear

GROUP = 32
OUTPUTS = 32
KINDS = ("int8", "int4")


class QuantizedLinear(nn.Module):
    """What both widths share: x (..., K) -> (..., N), in x's dtype."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias

    def product(self, x: Tensor) -> Tensor:
        """x (R, K) bfloat16 -> (R, N) bfloat16."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.in_features).to(torch.bfloat16)
        out = self.product(flat).to(x.dtype).view(*x.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias


class Int8Linear(QuantizedLinear):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        weight, scale = eight_bits(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)

    def product(self, x: Tensor) -> Tensor:
        return torch._weight_int8pack_mm(x, self.weight, self.scale.to(torch.bfloat16))


class Int4Linear(QuantizedLinear):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        levels, scales = four_bits(linear.weight)
        self.register_buffer("weight", torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels, 1))
        self.register_buffer("scale", scales)

    def product(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x, self.weight, GROUP, self.scale.to(torch.bfloat16))
        return found


def eight_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (N, K) -> levels (N, K) int8 and scale (N,) bfloat16, weight ~ levels * scale."""
    numbers = weight.detach().float()
    # Rounded up to bfloat16 first, so that the levels make up for the rounding and none of them overflows.
    scale = (numbers.abs().amax(1).clamp_min(1e-12) / 127 * (1 + 2**-8)).to(torch.bfloat16)
    return (numbers / scale.float()[:, None]).round().to(torch.int8), scale


def four_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (N, K) -> levels (N, K) int32 of 0 to 15, and (K / 32, N, 2) bfloat16: scale and the weight of level 8."""
    numbers = weight.detach().float()
    groups = numbers.view(numbers.shape[0], -1, GROUP)
    low, high = groups.amin(-1), groups.amax(-1)
    scale = ((high - low).clamp_min(1e-12) / 15).to(torch.bfloat16)
    middle = (low + 8 * scale.float()).to(torch.bfloat16)
    levels = ((groups - middle.float()[..., None]) / scale.float()[..., None]).round() + 8
    scales = torch.stack((scale, middle), dim=-1).transpose(0, 1).contiguous()
    return levels.clamp_(0, 15).to(torch.int32).view_as(numbers), scales


def quantize(model: nn.Module, kind: str, name: str) -> None:
    """Replace the linear layers of a transformer, without its output layer, in place.

    Layers whose sizes are no multiples of 32 stay as they are.

    Args:
        kind: "int8" or "int4".
        name: for messages.

    Raises:
        LoadError: the model is not on the CPU, or there is nothing to replace, or most of it would stay as it is.
    """
    device = next(model.parameters()).device
    if device.type != "cpu":
        raise LoadError(f"{name}: quantization={kind} is for the CPU; on {device.type} serve in bfloat16")
    experts = [key for key, parameter in model.named_parameters() if parameter.dim() > 2]
    if experts:
        raise LoadError(f"{name}: quantization={kind}: mixtures of experts are not supported ({experts[0]})")
    made = Int8Linear if kind == "int8" else Int4Linear
    found = list(_linear_layers(model))
    if not found:
        raise LoadError(f"{name}: quantization={kind}: it has no linear layers whose sizes are multiples of {OUTPUTS}")
    for parent, key, linear in found:
        setattr(parent, key, made(linear))


def _linear_layers(model: nn.Module) -> Iterator[tuple[Any, str, nn.Linear]]:
    for parent in model.modules():
        for key, layer in parent.named_children():
            fits = type(layer) is nn.Linear and not (layer.in_features % GROUP or layer.out_features % OUTPUTS)
            if fits:
                yield parent, key, layer


def weight_bytes(*models: nn.Module) -> int:
    """Memory of all weights, packed ones too, those that are shared counted once."""
    layers = {id(layer): layer for model in models for layer in model.modules()}.values()
    packed = [layer for layer in layers if isinstance(layer, PackedLinear)]
    loose = [weight for layer in layers for weight in layer.parameters(recurse=False)]
    loose += [each for layer in layers if not isinstance(layer, PackedLinear) for each in layer.buffers(recurse=False)]
    sizes = [*{tensor.data_ptr(): tensor.nbytes for tensor in loose}.values()]
    return sum(sizes + [layer.nbytes for layer in packed])
