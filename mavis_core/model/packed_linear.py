"""Linear layers whose weights are laid out as the CPU's matrix product reads them (oneDNN's packing).

torch's product reads a weight as it was saved, and gets a third to a half of what a CPU can do with the few rows of a
decode step. Packed once, when a model is loaded, the same numbers lie in the order in which they are used. Products
differ by the order of their sums only, as they do without packing from one number of rows to another.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

SMALLEST = 1 << 18  # numbers of a weight; of a smaller one the call costs more than packing saves


class PackedLinear(nn.Module):
    """x (..., K) -> (..., N), without gradients. A deep copy of it is a plain layer, which can be trained.

    ``packed`` is the weight in oneDNN's layout, which is neither a parameter nor a buffer.

    Args:
        linear: one that is ``packable``.
        keep: whether ``weight`` stays beside its packed form, for what else reads it; it takes its memory twice then.
    """

    def __init__(self, linear: nn.Linear, keep: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight: Tensor | None = linear.weight if keep else None
        self.bias = linear.bias
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Linear:
        weight = self.packed.to_dense()
        plain = nn.Linear(*weight.T.shape, bias=self.bias is not None, device="meta", dtype=weight.dtype)
        plain.weight = nn.Parameter(weight)
        if self.bias is not None:
            plain.bias = nn.Parameter(self.bias.detach().clone())
        return plain.requires_grad_(False)


def packable(layer: nn.Module) -> bool:
    """Whether a layer is one whose packed form is faster."""
    if type(layer) is not nn.Linear or not torch.backends.mkldnn.is_available():
        return False
    weight = layer.weight
    return weight.device.type == "cpu" and weight.dtype in _dtypes() and weight.numel() >= SMALLEST


def _dtypes() -> tuple[torch.dtype, ...]:
    """What this CPU has instructions for."""
    narrow = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if narrow else (torch.float32,)


def pack(model: nn.Module) -> None:
    """Replace the linear layers of a module in place; those that ``packable`` refuses stay as they are."""
    for parent in list(model.modules()):
        for key, layer in parent.named_children():
            if packable(layer):
                setattr(parent, key, PackedLinear(layer))


def packed_output(layer: nn.Module) -> nn.Module:
    """An output layer, packed where that is faster. Its weight stays: embeddings share it, values read it."""
    return PackedLinear(cast(nn.Linear, layer), keep=True) if packable(layer) else layer


def weight_count(model: nn.Module) -> int:
    """Numbers in a model's weights, packed ones too, shared ones once."""
    loose = sum(weight.numel() for weight in model.parameters())
    packed = [layer for layer in model.modules() if isinstance(layer, PackedLinear) and layer.weight is None]
    found: int = loose + sum(layer.packed.numel() for layer in packed)
    return found
