"""How a value is trained: the ``train`` part of a run's YAML, saved with the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from mavis_core.api.errors import RunError
from value_models.kinds.kind import Learning
from value_models.kinds.lm_backbone import LmConfig
from value_models.kinds.registry import KINDS, kind_names
from value_models.training.targets import KlTarget


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Attributes:
    kind: of the value; ``conditioned_head`` needs trees with weights of their own (``rollouts.mixture``).
    epochs: at most; training ends ``patience`` epochs after the best one.
    batch_trees: trees per step.
    learning_rate: its peak, reached after ``warmup`` (a share of all steps), then linear to 2 % of it.
    weight_decay, clip: of AdamW, of the gradient's norm.
    loss_at: every drawn token, or the last token of every node (the paper).
    zeta, kl_target: price of a nat in z-units of reward, and how it enters the targets (``targets``).
    held_out: share of prompts that are not trained on.
    width, rank: of a ``head``, conditioned or not, and of the readout of a ``q_lm``.
    lm: of an ``lm`` or ``q_lm``.
    precision: of the forward passes; weights and losses are float32.
    beta_prompts: held-out prompts on which the recommended beta is tuned; 0 leaves it at 1.
    """

    kind: str = "head"
    epochs: int = 10
    patience: int = 3
    batch_trees: int = 8
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    clip: float = 1.0
    loss_at: Literal["token", "node"] = "token"
    zeta: float = 0.0
    kl_target: KlTarget = "future"
    held_out: float = 0.1
    width: int = 128
    rank: int = 16
    lm: LmConfig = field(default_factory=LmConfig)
    precision: Literal["no", "bf16", "fp16"] = "no"
    beta_prompts: int = 100

    @property
    def learning(self) -> Learning:
        found = KINDS[self.kind].learning
        assert found is not None
        return found

    def check_libraries(self) -> None:
        """That what training imports late is installed.

        Raises:
            RunError: naming what is missing.
        """
        wanted = ["accelerate", "matplotlib", *(["peft"] if self.lm.lora_rank else [])]
        if missing := [name for name in wanted if find_spec(name) is None]:
            raise RunError(f"train: needs {', '.join(missing)}: install mavis-server[train]")

    def __post_init__(self) -> None:
        if self.kind not in KINDS or KINDS[self.kind].learning is None:
            raise RunError(f"train.kind={self.kind!r}: must be one of {kind_names(lambda kind: kind.learning)}")
        for name in ("epochs", "patience", "batch_trees", "width", "rank"):
            if getattr(self, name) < 1:
                raise RunError(f"train.{name}={getattr(self, name)}: must be at least 1")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise RunError(f"train.{name}={getattr(self, name)}: must be above 0")
        for name in ("weight_decay", "zeta", "beta_prompts"):
            if getattr(self, name) < 0:
                raise RunError(f"train.{name}={getattr(self, name)}: must be at least 0")
        if not 0 <= self.warmup < 1:
            raise RunError(f"train.warmup={self.warmup}: must be 0 up to, not including, 1")
        if not 0 < self.held_out < 1:
            raise RunError(f"train.held_out={self.held_out}: must be between 0 and 1")
