"""``config.json`` of a value's folder: what the value scores, for which policy, and how it was made.

A value on disk is this file and ``model.safetensors``. Unknown and missing keys are errors that name the key.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mavis_core.api.errors import LoadError, RunError
from mavis_core.api.guidance import MAX_BETA, MAX_WEIGHT
from value_models import checked, durable

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class ObjectiveConfig:
    """One objective.

    Attributes:
        name, description: for people and requests.
        reward_mean, reward_std: z-score the reward, measured on samples of the base model.
        recommended_beta: tuned to 0.2 nats of steering KL per token at weight 1 on held-out prompts.
        weight_range: lambdas that the value accepts.
        pull_range: what beta * lambda was in training, for kinds that are conditioned on it; None for all others.
    """

    name: str
    description: str
    reward_mean: float
    reward_std: float
    recommended_beta: float
    weight_range: tuple[float, float] = (-MAX_WEIGHT, MAX_WEIGHT)
    pull_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise LoadError("name='': must be at least one character")
        for key in ("reward_mean", "reward_std", "recommended_beta"):
            if not math.isfinite(getattr(self, key)):
                raise LoadError(f"{key}={getattr(self, key)}: must be a finite number")
        if not self.reward_std > 0:
            raise LoadError(f"reward_std={self.reward_std:g}: must be above 0")
        if not 0 <= self.recommended_beta <= MAX_BETA:
            raise LoadError(f"recommended_beta={self.recommended_beta:g}: must be 0 to {MAX_BETA:g}")
        for key in ("weight_range", "pull_range"):
            span = getattr(self, key)
            if span is not None and not -math.inf < span[0] <= span[1] < math.inf:
                raise LoadError(f"{key}=[{span[0]:g}, {span[1]:g}]: must be [lowest, highest]")


@dataclass(frozen=True, slots=True)
class PolicyIdentity:
    """The policy that a value was trained for.

    Attributes:
        name: as it was known then; informative.
        hidden_size, vocab_size: of its output layer.
        fingerprint: of its output embedding (``identity.policy_fingerprint``).
        tokenizer_hash: ``identity.tokenizer_hash``.
        norms: ``identity.norms_hash``; "" where they tell nothing, or nobody looked.
    """

    name: str
    hidden_size: int
    vocab_size: int
    fingerprint: str
    tokenizer_hash: str
    norms: str = ""

    @property
    def exact(self) -> dict[str, Any]:
        """As the folders of runs keep it: they hold for the very same weights, not for another rounding of them."""
        return {name: value for name, value in asdict(self).items() if name != "norms"}


@dataclass(frozen=True, slots=True)
class ValueConfig:
    """A value's folder in one object.

    Attributes:
        kind: one of ``kinds.registry.KINDS``.
        objectives: in the order of the outputs.
        policy: what it was trained for.
        architecture: of the kind's network; see its module.
        training: provenance: data, steps, seed, losses; informative.
    """

    kind: str
    objectives: tuple[ObjectiveConfig, ...]
    policy: PolicyIdentity
    architecture: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        names = [objective.name for objective in self.objectives]
        if not names:
            raise LoadError("objectives: must be a list of at least one objective")
        if twice := {name for name in names if names.count(name) > 1}:
            raise LoadError(f"objectives: {', '.join(map(repr, sorted(twice)))} twice")

    def save(self, folder: Path) -> None:
        data = asdict(self)
        for objective in data["objectives"]:
            if objective["pull_range"] is None:
                del objective["pull_range"]
        durable.write_json(folder / CONFIG_FILE, data)

    @classmethod
    def load(cls, folder: Path) -> ValueConfig:
        """Read and check a folder's config.

        Raises:
            LoadError: naming the file and the key.
        """
        path = folder / CONFIG_FILE
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise LoadError(f"{path}: {error}") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            got = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise LoadError(f"{path}: format={got!r}: must be {FORMAT}; is this the folder of a value?")
        try:
            found: ValueConfig = checked.read(cls, data, "")
        except RunError as error:
            raise LoadError(f"{path}: {error}") from error
        return found
