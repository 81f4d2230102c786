"""A run's YAML file: everything that ``mavis fit`` and the commands it chains are told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RunError
from mavis_core.api.guidance import MAX_BETA
from value_models.rewards.registry import RewardConfig
from value_models.rollouts.roll_out import RolloutConfig
from value_models.rollouts.user_turns import FromPolicy
from value_models.training.config_file import all_beside, read_config, relative
from value_models.training.train_config import TrainConfig

KL_TO_GO = "kl_to_go"
"""What the log calls the last output of a value conditioned on the weights."""


@dataclass(frozen=True, slots=True)
class IterateConfig:
    """Rounds after the first, see ``iterate``.

    Attributes:
        rounds: how many.
        beta: strength of the policies that are rolled out. ``independent``: 1 / beta is the price of a nat in their
            targets; ``joint``: the largest weight of each objective.
        kind: each objective on a policy of its own (the paper), or all on one policy whose weights vary, by one value
            that knows them.
    """

    rounds: int
    beta: float
    kind: Literal["independent", "joint"] = "independent"

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise RunError(f"iterate.rounds={self.rounds}: must be at least 1")
        if not 0 < self.beta <= MAX_BETA:
            raise RunError(f"iterate.beta={self.beta:g}: must be above 0, at most {MAX_BETA:g}")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One run. Paths are relative to the YAML file.

    Attributes:
        folder: gets ``rollouts/``, ``labels/``, ``training/``, ``value/`` and ``report.json``.
        prompts: JSON lines, or how many the policy is to write.
        rewards: objective -> how it is computed.
        policy: folder or hub id; None is the model that ships.
        values: folders that steer the rollouts, where ``rollouts.weights`` says so.
        constants: labels folder of a run on the base model, for its z-scoring constants; None measures them here.
        anchor: folder of a run on the base model whose trees a value conditioned on the weights learns from too, as
            grown at weight 0; None is only those of this run.
        count: prompts to use; None is all.
        seed: of everything that is drawn.
        iterate: rounds after the first; None is one round.
    """

    folder: str
    prompts: str | FromPolicy
    rewards: dict[str, RewardConfig]
    policy: str | None = None
    values: list[str] = field(default_factory=list)
    constants: str | None = None
    anchor: str | None = None
    count: int | None = None
    seed: int = 0
    engine: EngineConfig = field(default_factory=EngineConfig)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    iterate: IterateConfig | None = None

    def __post_init__(self) -> None:
        if not self.rewards:
            raise RunError("rewards: must name at least one objective")
        if self.count is not None and self.count < 2:
            raise RunError(f"count={self.count}: must be at least 2")
        if isinstance(self.prompts, FromPolicy) and self.count is not None:
            raise RunError("count: prompts.from_policy says how many; leave it out")
        if KL_TO_GO in self.rewards:
            raise RunError(f"rewards.{KL_TO_GO}: is the name of what a value conditioned on the weights says of the KL")
        mixture = self.rollouts.mixture
        if self.iterate and (mixture or self.anchor or self.train.learning.weights):
            raise RunError("iterate: sets rollouts.mixture, anchor and kind conditioned_head itself; leave them out")
        if (self.rollouts.weights or mixture) and not self.constants:
            steers = "mixture steers" if mixture else "weights steer"
            raise RunError(f"constants: is missing; rollouts.{steers}, so z-scoring needs a run on the base model")
        if self.iterate and (self.rollouts.weights or self.values or self.constants or self.train.zeta):
            raise RunError("iterate: sets rollouts.weights, values, constants and train.zeta itself; leave them out")
        if not self.iterate and self.train.learning.weights != bool(mixture):
            raise RunError(
                f"train.kind={self.train.kind!r}: conditioned_head learns from trees with weights of their own, and no "
                "other kind does: it and rollouts.mixture need each other"
            )
        if mixture and set(mixture.objectives) != set(self.rewards):
            raise RunError(
                f"rollouts.mixture.objectives={mixture.objectives}: must be the rewards, {list(self.rewards)}"
            )
        if self.anchor and not mixture:
            raise RunError("anchor: belongs to rollouts.mixture")
        if self.train.zeta and (mixture or (self.iterate and self.iterate.kind == "joint")):
            raise RunError(
                "train.zeta: a value conditioned on the weights learns the KL still to come apart from rewards"
            )
        if self.train.zeta and self.train.learning.products:
            raise RunError(f"train.zeta: {self.train.kind} learns what rewards are, which have no price in them")
        if self.train.zeta and len(self.rewards) > 1:
            raise RunError("train.zeta: prices one objective's own policy, so rewards must name just one")

    @property
    def prompts_file(self) -> Path:
        """Where the prompts are, or will be."""
        if isinstance(self.prompts, FromPolicy):
            return Path(self.prompts.file or Path(self.folder) / "prompts.jsonl")
        return Path(self.prompts)


def load_config(path: Path) -> RunConfig:
    """Read and check a run's file.

    Raises:
        RunError: naming the file and the key.
    """
    config: RunConfig = read_config(path, RunConfig)
    config = replace(config, values=all_beside(path, config.values, "values"))
    if isinstance(config.prompts, FromPolicy):  # one file for all rounds
        written = config.prompts.file
        file = relative(path, written) if written else str(config.prompts_file)
        config = replace(config, prompts=replace(config.prompts, file=file))
    return config
