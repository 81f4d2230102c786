"""Kind ``q_lm``: a separate small causal LM that scores every next token from one position.

    V_m(s + a) = [state read off the hidden state at s]_m . [row of token a]_m        (``vocabulary_readout``)

An ``lm`` reads each of the K candidates behind s, so G rows take a forward of G * K positions. Here the text is read
once, its newest token, one position a row, and the rows of the candidates are gathered: the form of IVG's score head
(arXiv 2409.17819). What is given up: a candidate meets the text in one product, not in the layers of the model.

As with ``implicit``, the newest token of a row whose prompt was read in this very step is read a second time, with the
same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.policy import Policy
from mavis_core.sample.scoring import ScoringInput
from value_models.kinds.head import HeadSizes
from value_models.kinds.head_network import product
from value_models.kinds.kind import Kind, Learning
from value_models.kinds.lm import HasLm
from value_models.kinds.lm_backbone import build_backbone, check_backbone, check_vocabulary, merged, untrained
from value_models.kinds.own_lm import OwnLm
from value_models.kinds.vocabulary_readout import LowRankReadout, MatrixReadout
from value_models.rollouts.packing import Batch
from value_models.tensors import load_parts, read_tensors, save_parts
from value_models.value_config import ValueConfig

MATRIX = "matrix"
"""``readout`` in the config's architecture, of a ``MatrixReadout``; else the sizes of a ``LowRankReadout``."""


class QLmValue(OwnLm):
    """A loaded one; its readout is a ``VocabularyReadout``."""

    @torch.inference_mode()
    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        """The rows of the whole vocabulary are made here, (V, M, S)."""
        super().bind(pools, device, dtype)
        self._table = self.readout.table(self._embedding)

    def score(self, inputs: ScoringInput) -> Tensor:
        """One forward of G positions, and a gather of G * K rows."""
        attention = inputs.newest_attention(self._pool)
        hidden = self.model.forward(inputs.last_token, inputs.length - 1, attention)
        rows = self._table.flatten(1).index_select(0, inputs.candidates.flatten())
        rows = rows.view(*inputs.candidates.shape, *self._table.shape[1:])
        return product(self.readout.read_state(hidden.float()), rows)

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """Nothing to keep: the drawn token is read in the next step."""

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        own = self.model.forward_plain(torch.tensor(tokens, device=hidden.device))[-1:]
        rows = self.readout.table(self._embedding, torch.tensor(candidates, device=hidden.device))
        return product(self.readout.read_state(own.float()), rows[None])[0]

    @property
    def _embedding(self) -> Tensor:
        base: Any = self.model.base
        found: Tensor = base.get_input_embeddings().weight
        return found


class QLmTrainee(nn.Module):
    """Predictions at the asked tokens of a batch: V(s + a) from the hidden state at s and the row of a.

    What nothing is asked behind is not read: a student's candidates, however many, cost a product each.
    """

    def __init__(self, backbone: Any, readout: Any) -> None:
        super().__init__()
        self.backbone, self.readout = backbone, readout

    def forward(self, batch: Batch) -> Tensor:
        """(A, M) float32."""
        previous = batch.previous.flatten()[batch.asked]
        width = int(previous.max()) + 1
        out = self.backbone(**batch.inputs(self.backbone.config, width))
        before, at = (batch.asked // batch.ids.shape[1] * width + previous).unique(return_inverse=True)
        state = self.readout.read_state(out.last_hidden_state.flatten(0, 1)[before].float())
        tokens, of = batch.ids.flatten()[batch.asked].unique(return_inverse=True)
        rows = self.readout.table(self.backbone.get_input_embeddings().weight, tokens)
        return product(state[:, at], rows[of][:, None])[:, 0]


def load_q_lm(folder: Path, config: ValueConfig, objectives: Sequence[ObjectiveInfo], policy: Policy) -> QLmValue:
    tensors, architecture = read_tensors(folder), config.architecture
    if set(architecture) != {"backbone", "readout"}:
        raise ValueError(f"architecture: has the keys backbone, readout, got {', '.join(architecture) or 'none'}")
    backbone = build_backbone(architecture["backbone"])
    check_vocabulary(backbone, policy)
    readout = build_readout(architecture["readout"], len(objectives), backbone)
    load_parts(tensors, {"backbone": backbone, "readout": readout})
    return QLmValue(folder.name, objectives, backbone, readout)


def build_readout(sizes: dict[str, int] | str, objectives: int, backbone: Any) -> nn.Module:
    """An untrained readout of ``backbone``.

    Args:
        sizes: ``MATRIX``, or the ``width`` and ``rank`` of a ``LowRankReadout``.

    Raises:
        ValueError: it is neither.
    """
    hidden = backbone.config.hidden_size
    if sizes == MATRIX:
        return MatrixReadout(objectives, hidden, backbone.config.vocab_size)
    if not isinstance(sizes, dict) or set(sizes) != {"width", "rank"}:
        raise ValueError(f"readout={sizes!r}: must be {MATRIX!r} or have the keys width, rank")
    return LowRankReadout(objectives, hidden, sizes["width"], sizes["rank"])


def save_q_lm(folder: Path, config: ValueConfig, architecture: dict[str, Any], backbone: Any, readout: Any) -> None:
    """Write one; ``architecture`` is the backbone's transformers config, the config's own is made here."""
    sizes = {"width": readout.sizes["width"], "rank": readout.rank} if isinstance(readout, LowRankReadout) else MATRIX
    replace(config, architecture={"backbone": architecture, "readout": sizes}).save(folder)
    save_parts(folder, {"backbone": backbone, "readout": readout})


class Sizes(HasLm, HeadSizes, Protocol):
    """What a ``q_lm`` reads of a run's ``train`` part."""


def fresh_q_lm(policy: Policy, objectives: int, train: Sizes, largest: float | None) -> QLmTrainee:
    backbone = untrained(policy, train.lm)
    return QLmTrainee(backbone, build_readout({"width": train.width, "rank": train.rank}, objectives, backbone))


def save_trained(folder: Path, config: ValueConfig, trainee: QLmTrainee) -> None:
    save_q_lm(folder, config, *merged(trainee.backbone), trainee.readout.cpu())


Q_LM = Kind(
    name="q_lm",
    value=QLmValue,
    load=load_q_lm,
    learning=Learning(
        fresh=fresh_q_lm,
        save=save_trained,
        teacher=lambda policy, value: QLmTrainee(value.model.base, value.readout),
        check=lambda train, tokenizer: check_backbone(train.lm, tokenizer),
    ),
)
