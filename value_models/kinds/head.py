"""Kind ``head``: a small network on the policy's own last hidden state; values cost almost nothing.

    V_m(s + a) = u_m(h) . A_m[a] + c_m(h)        (``head_network``)

s is the text so far, a a candidate for the next token, h the policy's hidden state at s after the final norm, which the
policy computes anyway. A is a table over the vocabulary, computed once at load, so a step reads one row of it per
candidate. This is the score head of IVG (arXiv 2409.17819), which has an output per token of the vocabulary, factored
into a product; whether that works is the first open question of the MAVIS paper.

Heads of equal shape are stacked into one network, so four objectives cost as many kernels as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.attention import RowsStep
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.policy import Policy
from mavis_core.sample.scoring import ScoringInput
from mavis_core.values.protocol import ValueSpec
from value_models.kinds.head_network import HeadNetwork, gelu, product, unit_rms
from value_models.kinds.head_trainee import HeadTrainee
from value_models.kinds.kind import Kind, Learning
from value_models.tensors import read_tensors
from value_models.value_config import WEIGHTS_FILE, ValueConfig

V = TypeVar("V")


class HeadValue:
    """A loaded head, or several stacked.

    Args:
        name: for messages.
        objectives: M.
        network: of M objectives.
        embedding: (V, D) the policy's output embedding.
    """

    def __init__(self, name: str, objectives: Sequence[ObjectiveInfo], network: HeadNetwork, embedding: Tensor) -> None:
        self.spec = ValueSpec(name, tuple(objectives), (), None)
        self.network = network.eval().requires_grad_(False)
        self._embedding = embedding

    @classmethod
    def stack(cls, heads: Sequence[HeadValue]) -> HeadValue:
        """Several heads of the same width and rank for the same policy, as one."""
        first = heads[0].network
        network = HeadNetwork(0, first.state_in.shape[1], first.state_in.shape[2], first.rank)
        for name, _ in first.named_parameters():
            parts = [dict(head.network.named_parameters())[name].data for head in heads]
            setattr(network, name, nn.Parameter(torch.cat(parts)))
        objectives = [objective for head in heads for objective in head.spec.objectives]
        return cls(" + ".join(head.spec.name for head in heads), objectives, network, heads[0]._embedding)

    @property
    def shape(self) -> tuple[int, int]:
        """(width, rank): heads of equal shape can be stacked."""
        return self.network.state_in.shape[2], self.network.rank

    @torch.inference_mode()
    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        """Everything in float32: it is tiny, and values are exponentiated.

        The table over the vocabulary is computed here, and the first layers of all objectives laid out as one.
        """
        network = self.network.to(device=device, dtype=torch.float32)
        self._table = network.read_tokens(unit_rms(self._embedding.to(device)))
        self._first = network.state_in.transpose(1, 2).flatten(0, 1).contiguous()
        self._first_bias = network.state_in_bias.flatten()

    def extend(self, tokens: Tensor, positions: Tensor, attention: RowsStep) -> None:
        """Nothing to read: the policy's hidden state holds the text."""

    def score(self, inputs: ScoringInput) -> Tensor:
        """Five kernels whatever M: linear, gelu, batched product, one gather of K rows, inner products."""
        rows, width = inputs.candidates.shape
        objectives, size = self._table.shape[1:]
        inner = gelu(F.linear(inputs.hidden.float(), self._first, self._first_bias))
        inner = inner.view(rows, objectives, -1).transpose(0, 1)
        state = torch.baddbmm(self.network.state_out_bias, inner, self.network.state_out)
        table = self._table.flatten(1).index_select(0, inputs.candidates.reshape(-1))
        return product(state, table.view(rows, width, objectives, size))

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """Nothing to keep."""

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        embedding = unit_rms(self._embedding.to(hidden.device))[list(candidates)]
        table = self.network.read_tokens(embedding)
        found: Tensor = self.network(hidden.float()[None], table[None])[0]
        return found


def load_with(
    value: Callable[[str, Sequence[ObjectiveInfo], Any, Tensor], V],
    network: Callable[..., nn.Module],
    folder: Path,
    config: ValueConfig,
    objectives: Sequence[ObjectiveInfo],
    policy: Policy,
) -> V:
    """``Kind.load`` of a value that is a ``network`` on the policy's hidden state."""
    tensors = read_tensors(folder)
    made = network(len(objectives), **config.architecture)
    made.load_state_dict(tensors)
    return value(folder.name, objectives, made, policy.readout.weight)


def save_head(folder: Path, config: ValueConfig, network: nn.Module) -> None:
    """Write a trained head, conditioned or not, whose ``config`` knows its architecture."""
    config.save(folder)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS_FILE)


def stack_heads(heads: Sequence[HeadValue]) -> list[HeadValue]:
    """Those of equal shape as one."""
    by_shape = groupby(sorted(heads, key=lambda head: head.shape), lambda head: head.shape)
    return [HeadValue.stack(list(group)) for _, group in by_shape]


class HeadSizes(Protocol):
    """What a head reads of a run's ``train`` part."""

    @property
    def width(self) -> int: ...

    @property
    def rank(self) -> int: ...


def fresh_head(policy: Policy, objectives: int, train: HeadSizes, largest: float | None) -> HeadTrainee:
    return HeadTrainee(policy, HeadNetwork(objectives, policy.readout.weight.shape[1], train.width, train.rank))


def save_trained(folder: Path, config: ValueConfig, trainee: HeadTrainee) -> None:
    network = trainee.network.cpu()
    save_head(folder, replace(config, architecture=network.sizes), network)


HEAD = Kind(
    name="head",
    value=HeadValue,
    load=partial(load_with, HeadValue, HeadNetwork),
    reads_policy=True,
    stack=stack_heads,
    learning=Learning(
        fresh=fresh_head,
        save=save_trained,
        teacher=lambda policy, value: HeadTrainee(policy, value.network, keep=0),
    ),
)
