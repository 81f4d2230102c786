"""Linear layers whose weights are laid out as the CPU's matrix product reads them.

torch's product reads a weight as it was saved, and gets a third to a half of what a CPU can do with the few rows of a
decode step. Packed once, when a model is loaded, the same numbers lie in the order in which they are used: for oneDNN,
or, where 16 bits hold them, for FBGEMM, which reads half as much of them and multiplies in float32 all the same.
Products differ by the order of their sums only, as they do without packing from one number of rows to another.
"""

from __future__ import annotations

import weakref
from typing import Any, cast

import torch
from torch import Tensor, nn

SMALLEST = 1 << 18  # numbers of a weight; of a smaller one the call costs more than packing saves
ENGINE = "fbgemm"  # part of torch on x86
LOST = 2.0**-24
"""What float16 may miss of a number that it is said to hold: its steps near 0, where bfloat16 has finer ones. The sum
of a product in float32 is rounded by more."""


PLACES: weakref.WeakValueDictionary[int, PackedLinear] = weakref.WeakValueDictionary()
OPERATORS = torch.library.Library("mavis_packed", "DEF")
OPERATORS.define("product(Tensor x, Tensor place, SymInt outputs) -> Tensor")


@torch.library.impl(OPERATORS, "product", "CPU")
def _product(x: Tensor, place: Tensor, outputs: int) -> Tensor:
    return PLACES[int(place)].product(x)


@torch.library.register_fake("mavis_packed::product", lib=OPERATORS)
def _shape(x: Tensor, place: Tensor, outputs: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], outputs))


class PackedLinear(nn.Module):
    """x (..., K) -> (..., N), without gradients. A deep copy of it is a plain layer, which can be trained.

    A compiler is shown an operator of ours, which finds the layer by ``place``.

    Args:
        linear: one that is ``packable``.
        keep: whether ``weight`` stays beside its packed form, for what else reads it; it takes its memory twice then.
    """

    place: Tensor

    def __init__(self, linear: nn.Linear, keep: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight: Tensor | None = linear.weight if keep else None
        self.bias = linear.bias
        self.register_buffer("place", torch.tensor(id(self)), persistent=False)
        PLACES[id(self)] = self

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            found: Tensor = torch.ops.mavis_packed.product(x, self.place, self.out_features)
            return found
        return self.product(x)

    def product(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """Of the packed weight."""
        raise NotImplementedError

    def dense(self) -> Tensor:
        """The packed weight as it was, (N, K)."""
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Linear:
        weight = self.dense()
        plain = nn.Linear(*weight.T.shape, bias=self.bias is not None, device="meta", dtype=weight.dtype)
        plain.weight = nn.Parameter(weight)
        if self.bias is not None:
            plain.bias = nn.Parameter(self.bias.detach().clone())
        return plain.requires_grad_(False)


class OneDnnLinear(PackedLinear):
    """In oneDNN's layout and x's dtype."""

    def __init__(self, linear: nn.Linear, keep: bool = False) -> None:
        super().__init__(linear, keep)
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)

    def product(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return found

    @property
    def nbytes(self) -> int:
        found: int = self.packed.nbytes
        return found

    def dense(self) -> Tensor:
        return self.packed.to_dense()


class HalfLinear(PackedLinear):
    """Of a weight that FBGEMM holds in float16 and multiplies in float32."""

    def __init__(self, linear: nn.Linear, keep: bool = False) -> None:
        super().__init__(linear, keep)
        bias = None if linear.bias is None else linear.bias.detach()
        self.packed = torch.ops.quantized.linear_prepack_fp16(linear.weight.detach(), bias)

    def product(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
        return found

    @property
    def nbytes(self) -> int:
        return 2 * int(self.in_features) * int(self.out_features)

    def dense(self) -> Tensor:
        found: Tensor = torch.ops.quantized.linear_unpack_fp16(self.packed)[0]
        return found


def in_float16(weight: Tensor, rounded: bool = False) -> bool:
    """Whether a weight (N, K) is packed in float16: it is float32, 16 bits hold it, and FBGEMM is there.

    Args:
        rounded: whether or not 16 bits hold it, if only it is within their range.
    """
    if weight.dtype != torch.float32 or ENGINE not in torch.backends.quantized.supported_engines:
        return False
    missed = (weight - weight.half().float()).abs().max()
    return bool(missed < torch.inf if rounded else missed <= LOST)


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


def packed(layer: nn.Linear, keep: bool = False, rounded: bool = False) -> PackedLinear:
    """One that is ``packable``; ``keep``: see ``PackedLinear``, ``rounded``: see ``in_float16``."""
    made = HalfLinear if in_float16(layer.weight.detach(), rounded) else OneDnnLinear
    return made(layer, keep)


def pack(model: nn.Module, rounded: bool = False) -> None:
    """Replace the linear layers of a module in place; those that ``packable`` refuses stay as they are."""
    for parent in list(model.modules()):
        for key, layer in parent.named_children():
            if packable(layer):
                setattr(parent, key, packed(cast(nn.Linear, layer), rounded=rounded))


def packed_output(layer: nn.Module, rounded: bool = False) -> nn.Module:
    """An output layer, packed where that is faster. Its weight stays: embeddings share it, values read it."""
    return packed(cast(nn.Linear, layer), True, rounded) if packable(layer) else layer


def weight_count(model: nn.Module) -> int:
    """Numbers in a model's weights, packed ones too, shared ones once."""
    loose = sum(weight.numel() for weight in model.parameters())
    alone = [layer for layer in model.modules() if isinstance(layer, PackedLinear) and layer.weight is None]
    found: int = loose + sum(layer.in_features * layer.out_features for layer in alone)
    return found
