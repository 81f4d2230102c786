"""An evaluation's YAML file: everything that ``mavis evaluate`` is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RunError
from mavis_core.api.guidance import MAX_BETA, MAX_CANDIDATES, Guidance
from mavis_core.api.search_params import SearchParams
from value_models.evaluation.points import BASE, search_strength
from value_models.rewards.registry import RewardConfig
from value_models.training.config_file import all_beside, read_config, relative

Measure = Literal["hypervolume", "weighted_reward"]


@dataclass(frozen=True, slots=True)
class ArmConfig:
    """One way to steer. Its strengths are its betas, its searches, or the checkpoints of trained policies; together
    they are the arm's curve over KL.

    Attributes:
        values: folders as ``mavis serve --values`` takes them.
        betas: of the tilt.
        searches: sizes of ``guidance.search``; ``guidance.beta`` is then the tilt's, where they tilt.
        policies: folder of a ``mavis baseline`` run, in place of values: for each share the policy of these weights.
        averaged: the parameters of the axes' policies averaged by the weights (RSoup), in place of their own policies.
        steps: checkpoints of ``policies``; none is all.
        objectives: axis -> the words that it is steered by, in place of a value or beside values of other axes.
        instructions: axis -> what the policy is told in its system message, in place of all of that: weights only
            choose which of them it is told, and there are no strengths.
        guidance: its other settings; weights and top_k belong to the evaluation.
    """

    values: list[str] = field(default_factory=list)
    betas: list[float] = field(default_factory=list)
    searches: list[SearchParams] = field(default_factory=list)
    policies: str | None = None
    averaged: bool = False
    steps: list[int] = field(default_factory=list)
    objectives: dict[str, str] = field(default_factory=dict)
    instructions: dict[str, str] = field(default_factory=dict)
    guidance: Guidance = field(default_factory=Guidance)

    def __post_init__(self) -> None:
        steers = self.values or self.objectives
        if self.policies and (steers or self.betas or self.searches):
            raise RunError("policies: have checkpoints; values, objectives, betas and searches belong to other arms")
        if self.instructions:
            self._check_instructions()
        elif not self.policies and (not steers or bool(self.betas) == bool(self.searches)):
            raise RunError(
                "arms: every arm needs values or objectives with betas or searches, or policies, or instructions"
            )
        for key in ("objectives", "instructions"):
            if empty := [axis for axis, words in getattr(self, key).items() if not words.strip()]:
                raise RunError(f"{key}.{empty[0]}: must say something")
        if not self.policies and (self.steps or self.averaged):
            raise RunError("steps and averaged: belong to policies")
        if not all(0 < beta <= MAX_BETA for beta in self.betas) or len(set(self.betas)) < len(self.betas):
            raise RunError(f"betas={self.betas}: must be different numbers above 0, at most {MAX_BETA:g}")
        sizes = [search_strength(search) for search in self.searches]
        if len(set(self.steps)) < len(self.steps) or len(set(sizes)) < len(sizes):
            raise RunError("steps and searches: must differ from each other")
        if any(search.method == "beam" for search in self.searches):
            raise RunError("searches: what method 'beam' costs in KL is not known, so it cannot be compared")
        plain = Guidance()
        for name in ("weights", "top_k", "allow_empty", "report", "search", *(() if self.searches else ("beta",))):
            if getattr(self.guidance, name) != getattr(plain, name):
                raise RunError(f"guidance.{name}: is the same for all arms; set by the evaluation")

    def _check_instructions(self) -> None:
        others = (self.policies, self.values, self.objectives, self.betas, self.searches, self.guidance != Guidance())
        if any(others):
            raise RunError("instructions: are all that such an arm has; what steers or is trained belongs to others")


@dataclass(frozen=True, slots=True)
class ClaimConfig:
    """What is expected, written down before anything is sampled: ``better`` has more of ``measure`` than ``than``.

    Attributes:
        nats: the budget of steering KL per response at which they are compared.
    """

    better: str
    than: str
    nats: float
    measure: Measure = "hypervolume"


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """One evaluation. Paths are relative to the YAML file.

    Attributes:
        folder: gets the answers, their scores and the report.
        prompts: JSON lines; none of them may have been trained on.
        rewards: name -> how it is computed.
        axes: the one or two rewards that are traded off; the others are only shown.
        reference_point: of the hypervolume, one number per axis, z-units; fixed before anything is sampled.
        arms: name -> how it steers; the base model is always there.
        shares: weights of the first axis, the second gets 1 less that; default 0, .2 ... 1, or 1 for
            one axis. An arm of policies has those for which there is one.
        budgets: steering KL per response in nats at which arms are compared.
        regret_to: the arm that the others are measured against, or None.
        claims: see ``ClaimConfig``.
        policy: folder or hub id; None is the model that ships.
        constants: labels folder of a training run, for its z-scoring constants; None measures them on the base arm.
        count: prompts to use; None is all.
        samples: per prompt and point.
        max_tokens, top_k: of every answer of every arm, at T = 1.
        resamples: of the bootstrap.
        seed: of everything that is drawn; answers of all arms share their noise.
    """

    folder: str
    prompts: str
    rewards: dict[str, RewardConfig]
    axes: list[str]
    reference_point: list[float]
    arms: dict[str, ArmConfig]
    shares: list[float] | None = None
    budgets: list[float] = field(default_factory=lambda: [1.0, 2.0, 4.0, 8.0])
    regret_to: str | None = None
    claims: list[ClaimConfig] = field(default_factory=list)
    policy: str | None = None
    constants: str | None = None
    count: int | None = None
    samples: int = 3
    max_tokens: int = 128
    top_k: int = 40
    resamples: int = 2000
    seed: int = 0
    engine: EngineConfig = field(default_factory=EngineConfig)

    def __post_init__(self) -> None:
        if not 1 <= len(self.axes) <= 2 or len(set(self.axes)) < len(self.axes):
            raise RunError(f"axes={self.axes}: must be one or two rewards")
        if unknown := [name for name in self.axes if name not in self.rewards]:
            raise RunError(f"axes: {unknown[0]!r} is not among the rewards {', '.join(self.rewards)}")
        if len(self.reference_point) != len(self.axes):
            raise RunError(f"reference_point={self.reference_point}: must have {len(self.axes)} numbers, one per axis")
        if not self.arms or BASE in self.arms:
            raise RunError(f"arms: at least one, and none of them named {BASE!r}, which is always there")
        for name in self.arms:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise RunError(f"arms.{name}: a name has letters, digits, - and _ only")
        if self.shares is not None and (not self.shares or sorted(set(self.shares)) != self.shares):
            raise RunError(f"shares={self.shares}: must rise")
        if len(self.axes) == 2 and not all(0 <= share <= 1 for share in self.grid):
            raise RunError(f"shares={self.shares}: must be 0 to 1")
        if not self.budgets or not all(budget > 0 for budget in self.budgets):
            raise RunError(f"budgets={self.budgets}: must be above 0")
        for name, least in (("samples", 1), ("max_tokens", 1), ("resamples", 100)):
            if getattr(self, name) < least:
                raise RunError(f"{name}={getattr(self, name)}: must be at least {least}")
        if self.count is not None and self.count < 2:
            raise RunError(f"count={self.count}: must be at least 2")
        if not 1 <= self.top_k <= MAX_CANDIDATES:
            raise RunError(f"top_k={self.top_k}: must be 1 to {MAX_CANDIDATES}")
        self._check_names()
        for name, arm in self.arms.items():
            if arm.instructions and arm.instructions.keys() != set(self.axes):
                told = ", ".join(arm.instructions)
                raise RunError(f"arms.{name}.instructions: must be one for each of the axes {self.axes}, got {told}")
            if others := [axis for axis in arm.objectives if axis not in self.axes]:
                raise RunError(f"arms.{name}.objectives: {others[0]!r} is not one of the axes {self.axes}")

    def _check_names(self) -> None:
        named = {"regret_to": [self.regret_to] if self.regret_to else []}
        for i, claim in enumerate(self.claims):
            named[f"claims[{i}]"] = [claim.better, claim.than]
            if claim.nats not in self.budgets:
                raise RunError(f"claims[{i}].nats={claim.nats:g}: must be one of the budgets {self.budgets}")
        for where, arms in named.items():
            for arm in arms:
                if arm not in (*self.arms, BASE):
                    raise RunError(f"{where}: there is no arm {arm!r}; arms: {', '.join((BASE, *self.arms))}")

    @property
    def grid(self) -> list[float]:
        if self.shares is not None:
            return self.shares
        return [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] if len(self.axes) == 2 else [1.0]


def load_config(path: Path) -> EvaluationConfig:
    """Read and check an evaluation's file.

    Raises:
        RunError: naming the file and the key.
    """
    config: EvaluationConfig = read_config(path, EvaluationConfig)

    def found(name: str, arm: ArmConfig) -> ArmConfig:
        policies = relative(path, arm.policies) if arm.policies else None
        return replace(arm, values=all_beside(path, arm.values, f"arms.{name}.values"), policies=policies)

    return replace(config, arms={name: found(name, arm) for name, arm in config.arms.items()})
