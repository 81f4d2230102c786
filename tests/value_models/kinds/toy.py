"""A kind of value in one module, as anybody would add one: a number per token and objective, whatever came before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.attention import PrefillAttention
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.policy import Policy
from mavis_core.sample.scoring import ScoringInput
from mavis_core.values.protocol import ValueSpec
from value_models.kinds.kind import Kind, Learning
from value_models.rollouts.packing import Batch
from value_models.tensors import load_parts, read_tensors, save_parts
from value_models.value_config import ValueConfig


class ToyTrainee(nn.Module):
    def __init__(self, vocab_size: int, objectives: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab_size, objectives)

    def forward(self, batch: Batch) -> Tensor:
        found: Tensor = self.table(batch.ids.flatten()[batch.asked])
        return found


class ToyValue:
    def __init__(self, name: str, objectives: Sequence[ObjectiveInfo], table: nn.Embedding) -> None:
        self.spec = ValueSpec(name, tuple(objectives), (), None)
        self.table = table.requires_grad_(False)

    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        self.table.to(device)

    def extend(self, tokens: Tensor, positions: Tensor, attention: PrefillAttention) -> None:
        """Nothing to read."""

    def score(self, inputs: ScoringInput) -> Tensor:
        found: Tensor = self.table(inputs.candidates)
        return found

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """Nothing to keep."""

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        found: Tensor = self.table(torch.tensor(candidates))
        return found


def load(folder: Path, config: ValueConfig, objectives: Sequence[ObjectiveInfo], policy: Policy) -> ToyValue:
    table = nn.Embedding(config.architecture["vocab_size"], len(objectives))
    load_parts(read_tensors(folder), {"table": table})
    return ToyValue(folder.name, objectives, table)


def save(folder: Path, config: ValueConfig, trainee: ToyTrainee) -> None:
    replace(config, architecture={"vocab_size": trainee.table.num_embeddings}).save(folder)
    save_parts(folder, {"table": trainee.table})


def teacher(policy: Policy, value: ToyValue) -> ToyTrainee:
    found = ToyTrainee(*value.table.weight.shape)
    found.table = value.table
    return found


TOY = Kind(
    name="toy",
    value=ToyValue,
    load=load,
    learning=Learning(
        fresh=lambda policy, objectives, train, largest: ToyTrainee(policy.vocab_size, objectives),
        save=save,
        teacher=teacher,
    ),
)
