"""The YAML file of ``mavis baseline``: which policies are trained by RL, on which rewards, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mavis_core.api.errors import RunError
from mavis_core.api.guidance import MAX_CANDIDATES, MAX_WEIGHT
from value_models.baselines.policies import MIX
from value_models.rewards.registry import RewardConfig
from value_models.training.config_file import read_config


@dataclass(frozen=True, slots=True)
class ReinforceConfig:
    """How a policy is trained; the same for all.

    Attributes:
        steps: of the optimiser. The rate is constant after ``warmup`` steps, so that more can be asked for later.
        every: steps from one checkpoint to the next.
        batch: responses per step.
        samples: of them per prompt; each is compared with the mean of the others.
        learning_rate: of AdamW without decay.
        warmup: steps up to the full rate.
        kl: price of a nat of KL to the base model, in z-units of the weighted reward.
        rows: responses per forward; None is all of a step's.
        precision: of the forward passes; weights are float32.
    """

    steps: int = 100
    every: int = 10
    batch: int = 64
    samples: int = 8
    learning_rate: float = 1e-4
    warmup: int = 10
    kl: float = 0.05
    rows: int | None = None
    precision: Literal["no", "bf16", "fp16"] = "no"

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("every", 1), ("samples", 2), ("warmup", 0), ("kl", 0)):
            if getattr(self, name) < least:
                raise RunError(f"train.{name}={getattr(self, name)}: must be at least {least}")
        if not self.learning_rate > 0:
            raise RunError(f"train.learning_rate={self.learning_rate}: must be above 0")
        if self.batch < 1 or self.batch % self.samples:
            raise RunError(f"train.batch={self.batch}: must be a multiple of samples={self.samples}")
        if self.steps % self.every:
            raise RunError(f"train.steps={self.steps}: must be a multiple of every={self.every}")
        if self.rows is not None and (self.rows < 1 or self.batch % self.rows):
            raise RunError(f"train.rows={self.rows}: must divide batch={self.batch}")


@dataclass(frozen=True, slots=True)
class BaselineConfig:
    """Policies trained from one base model. Paths are relative to the YAML file.

    Attributes:
        folder: gets a folder per policy, and ``mod``, see ``policies``.
        prompts: JSON lines, all conversations or all plain texts.
        rewards: name -> how it is computed; all of them are logged for every policy.
        policies: name -> the weights of the rewards that it learns to earn.
        constants: labels folder of a training run, for its z-scoring constants.
        policy: folder or hub id of the base model; None is the model that ships.
        count: prompts to use; None is all.
        max_tokens, top_k: of every response, at T = 1.
        seed: of everything that is drawn.
    """

    folder: str
    prompts: str
    rewards: dict[str, RewardConfig]
    policies: dict[str, dict[str, float]]
    constants: str
    policy: str | None = None
    count: int | None = None
    max_tokens: int = 128
    top_k: int = 40
    seed: int = 0
    train: ReinforceConfig = field(default_factory=ReinforceConfig)

    def __post_init__(self) -> None:
        if not self.policies:
            raise RunError("policies: must name at least one")
        for name, weights in self.policies.items():
            if not name.replace("-", "").replace("_", "").isalnum() or name == MIX:
                raise RunError(f"policies.{name}: a name has letters, digits, - and _ only, and is not {MIX!r}")
            for reward, weight in weights.items():
                if reward not in self.rewards:
                    raise RunError(f"policies.{name}.{reward}: is not among the rewards {', '.join(self.rewards)}")
                if not abs(weight) <= MAX_WEIGHT:
                    raise RunError(f"policies.{name}.{reward}={weight}: must be -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}")
            if not any(weights.values()):
                raise RunError(f"policies.{name}: must weight at least one reward")
        if self.count is not None and self.count < 1:
            raise RunError(f"count={self.count}: must be at least 1")
        if self.max_tokens < 2:
            raise RunError(f"max_tokens={self.max_tokens}: must be at least 2")
        if not 1 <= self.top_k <= MAX_CANDIDATES:
            raise RunError(f"top_k={self.top_k}: must be 1 to {MAX_CANDIDATES}")


def load_config(path: Path) -> BaselineConfig:
    """Read and check the file.

    Raises:
        RunError: naming the file and the key.
    """
    config: BaselineConfig = read_config(path, BaselineConfig)
    return config
