"""The layers of a transformer as one compiled function, which all layers that are alike share.

Between the products of a layer lie some thirty small operations, and at one row each costs about as much as a product.
Compiled by torch's Inductor, what stands between two products is one loop. Layers differ by their weights and by where
they stand, so one of them is traced, with its weights as inputs: seconds, where a whole model took minutes. Attention
stays as its backend computes it and packed products as they are: to the compiler each is one operator, which finds its
layer by ``place``. Forwards of one token and forwards of more are compiled apart.

Compiled layers take the place of the plain ones when each of them has given what the plain one gives.
"""

from __future__ import annotations

import copy
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch._dynamo
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mavis_core.api.errors import LoadError
from mavis_core.model.attention import AttentionStep, Chunk
from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.backends import sdpa
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.paged_model import EXACT, PROBE_BLOCK, ROUNDED, Overheard, PagedModel

MANY = 23
"""Tokens of the forward that is compiled for any number of them: a number that is the size of nothing else."""

Compiled = Callable[[Tensor, Tensor, list[Tensor], dict[str, Any]], Any]
LAYERS: weakref.WeakValueDictionary[int, CompiledLayer] = weakref.WeakValueDictionary()
OPERATORS = torch.library.Library("mavis_layer", "DEF")
OPERATORS.define("attend(Tensor query, Tensor key, Tensor value, Tensor place) -> Tensor")


@torch.library.impl(OPERATORS, "attend", "CompositeExplicitAutograd")
def _attend(query: Tensor, key: Tensor, value: Tensor, place: Tensor) -> Tensor:
    return LAYERS[int(place)].attend(query, key, value).contiguous()


@torch.library.register_fake("mavis_layer::attend", lib=OPERATORS)
def _shape(query: Tensor, key: Tensor, value: Tensor, place: Tensor) -> Tensor:
    return query.new_empty(query.shape)


class TracedStep:
    """What a layer is given as ``kv_step`` while it is traced."""

    def __init__(self, place: Tensor) -> None:
        self._place = place

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        found: Tensor = torch.ops.mavis_layer.attend(query, key, value, self._place)
        return found


@dataclass(frozen=True, slots=True)
class Heard:
    """One call of a layer.

    Attributes:
        hidden, asked: what it was given, without its step.
        out: what it gave.
        number, spec: what it asked of attention.
    """

    hidden: Tensor
    asked: dict[str, Any]
    out: Any
    number: int
    spec: AttentionSpec


class CompiledLayer:
    """Stands for ``layer.forward``.

    Args:
        layer: whose weights it computes with.
        heard: a call of it.
        one, many: what was compiled for a single token, and for more.
    """

    def __init__(self, layer: nn.Module, heard: Heard, one: Compiled, many: Compiled) -> None:
        self._layer, self._one, self._many = layer, one, many
        self._number, self._spec = heard.number, heard.spec
        self._weights = [tensor for _, tensor in tensors(layer)]
        self._plain = layer.forward
        self._now = threading.local()
        self._place = torch.tensor(id(self))
        LAYERS[id(self)] = self

    def __call__(self, hidden: Tensor, **asked: Any) -> Any:
        step = asked.pop("kv_step", None)
        if step is None:
            return self._plain(hidden, **asked)
        self._now.step = step
        compiled = self._one if hidden.shape[1] == 1 else self._many
        return compiled(hidden, self._place, self._weights, asked)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        step: AttentionStep = self._now.step
        return step.attend(self._number, query, key, value, self._spec)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """The plain forward of the layer's copy, which is made before its attributes are."""
        layer = memo[id(self._layer)]
        return types.MethodType(type(layer).forward, layer)


@torch.inference_mode()
def compile_layers(model: PagedModel) -> None:
    """Compile the layers of a model that may be running on another thread, and put them in place.

    Raises:
        LoadError: layers cannot be compiled, or do not give what they gave. The model runs on as it did.
    """
    try:
        layers = decoder_layers(model)
        heard = [_listen(model, layers, count) for count in (1, MANY)]
        functions: dict[Any, tuple[Compiled, Compiled]] = {}
        found = []
        for layer, single, several in zip(layers, *heard, strict=True):
            kind = alike(layer)
            if kind not in functions:
                functions[kind] = (_compiled(layer, False), _compiled(layer, True))
            found.append(CompiledLayer(layer, single, *functions[kind]))
            _check(model, found[-1], (single, several))
    except LoadError:
        raise
    except Exception as error:  # whatever compilers say
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise LoadError(f"{model.name}: its layers cannot be compiled: {reason}") from error
    for layer, compiled in zip(layers, found, strict=True):
        layer.forward = compiled  # type: ignore[method-assign,assignment]


def decoder_layers(model: PagedModel) -> list[nn.Module]:
    """The layers in the order in which they run.

    Raises:
        LoadError: they are not where transformers has them.
    """
    for child in model.base.children():
        if isinstance(child, nn.ModuleList) and len(child) == model.cache.layers:
            return list(child)
    raise LoadError(f"{model.name}: has no list of {model.cache.layers} layers")


def tensors(layer: nn.Module) -> list[tuple[str, Tensor]]:
    """All weights of a layer with their names, ``place`` of packed products among them."""
    return [*layer.named_parameters(), *layer.named_buffers()]


def alike(layer: nn.Module) -> tuple[Any, ...]:
    """What two layers must have in common to share a function: all but their weights' numbers and where they stand."""
    plain = (int, float, str, bool, type(None), torch.dtype)
    modules = tuple(
        (
            name,
            type(module),
            tuple((k, v) for k, v in sorted(vars(module).items()) if isinstance(v, plain) and k != "layer_idx"),
        )
        for name, module in layer.named_modules()
    )
    return modules, tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors(layer))


def _compiled(layer: nn.Module, many: bool) -> Compiled:
    template = _skeleton(layer)
    names = [name for name, _ in tensors(layer)]

    def run(hidden: Tensor, place: Tensor, weights: list[Tensor], asked: dict[str, Any]) -> Any:
        named = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(template, named, (hidden,), {**asked, "kv_step": TracedStep(place)})

    # What torch compiled is kept by code object; without guards one code object is one compiled function.
    own = types.FunctionType(run.__code__.replace(), run.__globals__, "run", run.__defaults__, run.__closure__)
    # Guards would be checked for every module of every layer in every step, and cost more than compiling saves.
    made: Compiled = torch.compile(
        own, fullgraph=True, dynamic=None if many else False, options={"guard_filter_fn": _no_guards}
    )
    return made


def _no_guards(guards: Any) -> list[bool]:
    return [False for _ in guards]


def _skeleton(layer: nn.Module) -> nn.Module:
    """The same modules around the same tensors: compiling may touch them, and the layer is running."""
    same = copy.copy(layer)
    same._modules = {key: None if child is None else _skeleton(child) for key, child in layer._modules.items()}
    # functional_call of a compiled function replaces parameters only (torch 2.13): buffers become some.
    loose = {**layer._parameters, **layer._buffers}
    same._parameters = {
        key: tensor if tensor is None else nn.Parameter(tensor, requires_grad=False) for key, tensor in loose.items()
    }
    same._buffers = {}
    return same


def _check(model: PagedModel, layer: CompiledLayer, calls: tuple[Heard, Heard]) -> None:
    """Call a layer with what its plain one was called with; the first time it is compiled."""
    for heard in calls:
        _mark(heard)
        with _step(model, heard.hidden.shape[1]) as step:
            found = layer(heard.hidden, **heard.asked, kv_step=step)
        (got,), (given,) = pytree.tree_leaves(found), pytree.tree_leaves(heard.out)
        distance = float((got.float() - given.float()).norm() / given.float().norm().clamp_min(1e-6))
        allowed = EXACT if got.dtype == torch.float32 and not model.quantized else ROUNDED
        if not distance <= allowed:
            raise LoadError(f"{model.name}: a compiled layer differs from the plain one by {distance:.2g}")


def _mark(heard: Heard) -> None:
    """Say which sizes are the number of tokens, where that is any."""
    if heard.hidden.shape[1] == MANY:
        for tensor in pytree.tree_leaves((heard.hidden, heard.asked)):
            if isinstance(tensor, Tensor):
                for axis, size in enumerate(tensor.shape):
                    if size == MANY:
                        torch._dynamo.mark_dynamic(tensor, axis)


def _listen(model: PagedModel, layers: list[nn.Module], count: int) -> list[Heard]:
    """How each layer is called in a forward of so many tokens."""
    own, found = threading.get_ident(), []

    def hear(layer: nn.Module, given: tuple[Tensor, ...], asked: dict[str, Any], out: Any) -> None:
        if threading.get_ident() == own:
            rest = {key: value for key, value in asked.items() if key != "kv_step"}
            found.append(Heard(given[0], rest, out, step.numbers[-1], step.specs[-1]))

    hooks = [layer.register_forward_hook(hear, with_kwargs=True) for layer in layers]
    try:
        with _step(model, count) as plain:
            step = Overheard(plain)
            device = next(model.base.parameters()).device
            tokens = torch.arange(1, count + 1, device=device) % model.config.vocab_size
            model.forward(tokens, torch.arange(count, device=device), step)
    finally:
        for hook in hooks:
            hook.remove()
    if not len(found) == len(step.specs) == len(layers):
        raise LoadError(f"{model.name}: its {len(layers)} layers asked for attention {len(step.specs)} times")
    return found


@contextmanager
def _step(model: PagedModel, count: int) -> Iterator[AttentionStep]:
    """Attention of a text of ``count`` tokens that begins, in a cache of its own."""
    parameter = next(model.base.parameters())
    blocks = -(-count // PROBE_BLOCK)
    pool = KVPool(model.cache, blocks, PROBE_BLOCK, parameter.dtype, parameter.device)
    table = torch.arange(blocks, device=parameter.device)[None]
    yield sdpa.prefill(pool, torch.arange(count, device=parameter.device), [Chunk(0, count, 0, table)])
