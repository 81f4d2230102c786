"""Kind ``lm``: a separate small causal LM with M regression outputs (MAVIS: one per objective, or a student).

    V(s + a) = readout of the hidden state at a, after reading s and a

The K candidates of a row are read side by side, all at the position after s: they share the row's KV and do not see
each other. One forward of G * K positions so scores the candidates of G rows. The KV of the one that is drawn is kept
as the row's, so it is never computed a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.policy import Policy
from mavis_core.sample.scoring import ScoringInput
from value_models.kinds.kind import Kind, Learning
from value_models.kinds.lm_backbone import LmConfig, build_lm, check_backbone, check_vocabulary, merged, untrained
from value_models.kinds.own_lm import OwnLm
from value_models.rollouts.packing import Batch
from value_models.tensors import load_parts, read_tensors, save_parts
from value_models.value_config import ValueConfig


class LmValue(OwnLm):
    """A loaded value LM, whose readout is D' -> M."""

    def score(self, inputs: ScoringInput) -> Tensor:
        rows, width = inputs.candidates.shape
        self._siblings = inputs.sibling_attention(self._pool)
        positions = inputs.length.repeat_interleave(width)
        hidden = self.model.forward(inputs.candidates.reshape(-1), positions, self._siblings)
        values: Tensor = self.readout(hidden.float())
        return values.view(rows, width, -1)

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """The drawn candidate's KV is there already; it is kept as the row's."""
        self._siblings.keep(chosen)

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        texts = [torch.tensor([*tokens, candidate], device=hidden.device) for candidate in candidates]
        return torch.stack([self.readout(self.model.forward_plain(text)[-1].float()) for text in texts])


class LmTrainee(nn.Module):
    """Predictions at the asked tokens of a batch: V(s + a) is the readout at a."""

    def __init__(self, backbone: nn.Module, readout: nn.Linear) -> None:
        super().__init__()
        self.backbone, self.readout = backbone, readout

    def forward(self, batch: Batch) -> Tensor:
        """(A, M) float32."""
        out = self.backbone(**batch.inputs(self.backbone.config))
        found: Tensor = self.readout(out.last_hidden_state.flatten(0, 1)[batch.asked].float())
        return found


def load_lm(folder: Path, config: ValueConfig, objectives: Sequence[ObjectiveInfo], policy: Policy) -> LmValue:
    tensors = read_tensors(folder)
    backbone, readout = build_lm(config.architecture, len(objectives))
    check_vocabulary(backbone, policy)
    load_parts(tensors, {"backbone": backbone, "readout": readout})
    return LmValue(folder.name, objectives, backbone, readout)


def save_lm(folder: Path, config: ValueConfig, backbone: nn.Module, readout: nn.Module) -> None:
    """Write a trained value LM, whose ``config`` knows its architecture."""
    config.save(folder)
    save_parts(folder, {"backbone": backbone, "readout": readout})


class HasLm(Protocol):
    """What an ``lm`` reads of a run's ``train`` part."""

    @property
    def lm(self) -> LmConfig: ...


def fresh_lm(policy: Policy, objectives: int, train: HasLm, largest: float | None) -> LmTrainee:
    backbone = untrained(policy, train.lm)
    readout = nn.Linear(backbone.config.hidden_size, objectives)
    for parameter in readout.parameters():  # 0 everywhere, the mean of z-units
        nn.init.zeros_(parameter)
    return LmTrainee(backbone, readout)


def save_trained(folder: Path, config: ValueConfig, trainee: LmTrainee) -> None:
    architecture, backbone = merged(trainee.backbone)
    save_lm(folder, replace(config, architecture=architecture), backbone, trainee.readout.cpu())


LM = Kind(
    name="lm",
    value=LmValue,
    load=load_lm,
    learning=Learning(
        fresh=fresh_lm,
        save=save_trained,
        teacher=lambda policy, value: LmTrainee(value.model.base, value.readout),
        check=lambda train, tokenizer: check_backbone(train.lm, tokenizer),
    ),
)
