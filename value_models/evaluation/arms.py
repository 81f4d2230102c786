"""Ways to steer, as an evaluation sees them: which points there are, and what serves each on the base model's engine.

Every arm is decoded over the base model's own k candidates and its KL is measured there. A tuned policy is no
exception: it is served as the value log pi - log pi_0 at weight 1 and beta 1, so that the tilted distribution is the
policy's over these candidates. Then a policy cannot win by tokens that the others are not allowed. An instructed policy
is: it stands for what people do without any of this, so it draws as they let it, and pays for that (``instructed.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from mavis_core.api.errors import RunError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.policy import Policy
from mavis_core.values.protocol import ValueFunction
from value_models.baselines.policies import Trained, at_weights, read_policies
from value_models.baselines.soup import soup
from value_models.evaluation.config import ArmConfig, EvaluationConfig
from value_models.evaluation.instructed import InstructedArm
from value_models.evaluation.points import Point, points_of, search_strength
from value_models.folders import kind_of, load_value
from value_models.identity import check_tokenizer
from value_models.kinds.implicit import ImplicitValue
from value_models.loading import value_folders
from value_models.prompts import file_hash
from value_models.tensors import weight_files
from value_models.value_config import CONFIG_FILE, ValueConfig

POLICY = ObjectiveInfo("policy", "a tuned policy", "policy", "policy", 0.0, 1.0, 1.0, (0.0, 1.0), additive=True)


class Arm(Protocol):
    @property
    def points(self) -> list[Point]: ...

    def check(self, policy: Policy) -> None:
        """Raises RunError or LoadError where it does not fit the evaluation or the policy."""
        ...

    def about(self) -> dict[str, Any]:
        """What it is made of, whatever its points."""
        ...

    def about_point(self, point: Point) -> dict[str, Any]:
        """What this point is made of beside that; nothing where that is all."""
        ...

    def served(self, point: Point) -> str:
        """Points for which it is the same share an engine."""
        ...

    def values(self, point: Point, policy: Policy) -> list[ValueFunction]: ...

    def guidance(self, point: Point) -> Guidance: ...

    def instruction(self, point: Point) -> str | None:
        """What the policy is told before it answers, or None where it is steered and not told."""
        ...

    @property
    def objectives(self) -> dict[str, str]:
        """Those in words that it is steered by: name -> words."""
        ...


def build_arm(name: str, config: EvaluationConfig) -> Arm:
    """Raises RunError: a folder of policies, or what shares there are, is not what the arm needs."""
    arm = config.arms[name]
    if arm.instructions:
        return InstructedArm(name, config)
    return PolicyArm(name, config) if arm.policies else ValueArm(name, config)


class ValueArm:
    """Values and objectives in words that tilt, at several betas, or choose, in several sizes of search."""

    def __init__(self, name: str, config: EvaluationConfig) -> None:
        self._name, self._config = name, config
        self._arm: ArmConfig = config.arms[name]
        betas: dict[str, dict[str, Any]] = {f"beta-{beta:g}": {"beta": beta} for beta in sorted(self._arm.betas)}
        searches = {search_strength(search): {"search": search} for search in self._arm.searches}
        self._strengths = betas | searches

    @property
    def points(self) -> list[Point]:
        return points_of(self._name, self._config.grid, list(self._strengths))

    @cached_property
    def _folders(self) -> list[Path]:
        return [folder for value in self._arm.values for folder in value_folders(value)]

    def check(self, policy: Policy) -> None:
        scored = [objective.name for folder in self._folders for objective in ValueConfig.load(folder).objectives]
        scored += self.objectives
        if lacking := [axis for axis in self._config.axes if axis not in scored]:
            raise RunError(f"arms.{self._name}: its values do not score {lacking[0]!r}; they score {', '.join(scored)}")

    def about(self) -> dict[str, Any]:
        files = [[folder.name, *map(file_hash, _files(folder))] for folder in self._folders]
        about = {"guidance": asdict(self._arm.guidance), "values": files}
        return {**about, "objectives": self.objectives} if self.objectives else about

    def about_point(self, point: Point) -> dict[str, Any]:
        return {}

    def served(self, point: Point) -> str:
        return " ".join(self._arm.values)

    def values(self, point: Point, policy: Policy) -> list[ValueFunction]:
        return [load_value(folder, policy) for folder in self._folders]

    def guidance(self, point: Point) -> Guidance:
        settings: dict[str, Any] = {"weights": point.weights(self._config.axes), "top_k": self._config.top_k}
        return replace(self._arm.guidance, **settings, **self._strengths[point.strength])

    def instruction(self, point: Point) -> None:
        return None

    @property
    def objectives(self) -> dict[str, str]:
        return self._arm.objectives


class PolicyArm:
    """Trained policies, checkpoint by checkpoint: each weight's own, or those of the axes averaged."""

    def __init__(self, name: str, config: EvaluationConfig) -> None:
        self._name, self._config = name, config
        self._arm: ArmConfig = config.arms[name]
        assert self._arm.policies is not None
        run = read_policies(Path(self._arm.policies))
        found = {share: self._parts(Point(name, share), run) for share in config.grid}
        self._found = {share: parts for share, parts in found.items() if parts}
        if not self._found:
            needed = "one of a single axis each" if self._arm.averaged else "one of the weights of any share"
            raise RunError(f"arms.{name}: {self._arm.policies} has no policies for {config.axes}: needs {needed}")
        self._steps = {share: self._common_steps(parts) for share, parts in self._found.items()}

    def _parts(self, point: Point, run: dict[str, Trained]) -> list[tuple[float, Trained]]:
        """(lambda, policy) to average at a point; none where one is missing."""
        weights = {axis: weight for axis, weight in point.weights(self._config.axes).items() if weight}
        wanted = [(w, {axis: 1.0}) for axis, w in weights.items()] if self._arm.averaged else [(1.0, weights)]
        found = [(weight, at_weights(run, own)) for weight, own in wanted]
        parts = [(weight, policy) for weight, policy in found if policy is not None]
        return parts if len(parts) == len(wanted) else []

    def _common_steps(self, parts: Sequence[tuple[float, Trained]]) -> list[int]:
        there = set.intersection(*(set(policy.steps) for _, policy in parts))
        if missing := sorted(set(self._arm.steps) - there):
            names = ", ".join(policy.folder.name for _, policy in parts)
            raise RunError(f"arms.{self._name}.steps: {names} has no checkpoint {missing[0]}; there: {sorted(there)}")
        if not there:
            raise RunError(f"arms.{self._name}: {parts[0][1].folder} has no checkpoint yet")
        return self._arm.steps or sorted(there)

    @property
    def points(self) -> list[Point]:
        return [p for share in self._found for p in points_of(self._name, [share], self._labels(share))]

    def _labels(self, share: float) -> list[str]:
        return [f"step-{step}" for step in self._steps[share]]

    def check(self, policy: Policy) -> None:
        for share in self._found:
            for folder in self._folders(Point(self._name, share, self._labels(share)[0])):
                self._load(folder, policy)

    def about(self) -> dict[str, Any]:
        return {"averaged": self._arm.averaged}

    def about_point(self, point: Point) -> dict[str, Any]:
        """Hashes, so that checkpoints may be added but not exchanged."""
        folders = self._folders(point)
        return {"policies": {folder.parent.name: list(map(file_hash, weight_files(folder))) for folder in folders}}

    def served(self, point: Point) -> str:
        return point.name

    def values(self, point: Point, policy: Policy) -> list[ValueFunction]:
        tuned = [self._load(folder, policy) for folder in self._folders(point)]
        assert point.share is not None
        one = soup(tuned, [weight for weight, _ in self._found[point.share]]) if len(tuned) > 1 else tuned[0]
        return [ImplicitValue(self._name, [POLICY], [one], policy, policy)]

    def guidance(self, point: Point) -> Guidance:
        return replace(self._arm.guidance, weights={POLICY.name: 1.0}, beta=1.0, top_k=self._config.top_k)

    def instruction(self, point: Point) -> None:
        return None

    @property
    def objectives(self) -> dict[str, str]:
        return {}

    def _folders(self, point: Point) -> list[Path]:
        assert point.share is not None
        step = int(point.strength.removeprefix("step-"))
        return [policy.checkpoint(step) for _, policy in self._found[point.share]]

    def _load(self, folder: Path, policy: Policy) -> Policy:
        tuned = Policy.load(str(folder), policy.device, policy.dtype)
        check_tokenizer(tuned, policy)
        return tuned


def _files(folder: Path) -> list[Path]:
    """All that a value is: its config, and weights, of models that lie beside it too."""
    config = ValueConfig.load(folder)
    read = [folder, *kind_of(folder, config).beside(folder, config)]
    return [folder / CONFIG_FILE, *(file for each in read for file in weight_files(each))]
