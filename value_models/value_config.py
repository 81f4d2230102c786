"""``config.json`` of a value's folder: what it scores, for which policy, and how it was made.

A value on disk is this file and ``model.safetensors``. Unknown and missing keys are errors that name the key,
so a folder never means something else than it says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mavis_core.errors import LoadError
from mavis_core.guidance import MAX_BETA, MAX_WEIGHT
from value_models import durable

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


@dataclass(frozen=True, slots=True)
class PolicyIdentity:
    """The policy that a value was trained for.

    Attributes:
        name: as it was known then; informative.
        hidden_size, vocab_size: of its output layer.
        fingerprint: of its output embedding (``identity.policy_fingerprint``).
        tokenizer_hash: ``identity.tokenizer_hash``.
    """

    name: str
    hidden_size: int
    vocab_size: int
    fingerprint: str
    tokenizer_hash: str


@dataclass(frozen=True, slots=True)
class ValueConfig:
    """A value's folder in one object.

    Attributes:
        kind: one of ``folders.KINDS``.
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
        top = _take(cls, data, str(path))
        if not isinstance(top["objectives"], list) or not top["objectives"]:
            raise LoadError(f"{path}: objectives: must be a list of at least one objective")
        objectives = tuple(_objective(item, f"{path}: objectives[{i}]") for i, item in enumerate(top["objectives"]))
        names = [objective.name for objective in objectives]
        if twice := {name for name in names if names.count(name) > 1}:
            raise LoadError(f"{path}: objectives: {', '.join(map(repr, sorted(twice)))} twice")
        policy = PolicyIdentity(**_take(PolicyIdentity, top["policy"], f"{path}: policy"))
        if not isinstance(top["architecture"], dict):
            raise LoadError(f"{path}: architecture: must be an object, got {type(top['architecture']).__name__}")
        return cls(top["kind"], objectives, policy, top["architecture"], top.get("training", {}))


def _objective(data: Any, where: str) -> ObjectiveConfig:
    found = _take(ObjectiveConfig, data, where)
    for key in ("name", "description"):
        if not isinstance(found[key], str) or not found["name"]:
            raise LoadError(f"{where}: {key}={found[key]!r}: must be text, the name at least one character")
    for key in ("reward_mean", "reward_std", "recommended_beta"):
        if not _is_number(found[key]):
            raise LoadError(f"{where}: {key}={found[key]!r}: must be a finite number")
    span = _range(found.pop("weight_range", [-MAX_WEIGHT, MAX_WEIGHT]), f"{where}: weight_range")
    pull = _range(found.pop("pull_range"), f"{where}: pull_range") if "pull_range" in found else None
    objective = ObjectiveConfig(**found, weight_range=span, pull_range=pull)
    if not objective.reward_std > 0:
        raise LoadError(f"{where}: reward_std={objective.reward_std}: must be above 0")
    if not 0 <= objective.recommended_beta <= MAX_BETA:
        raise LoadError(f"{where}: recommended_beta={objective.recommended_beta}: must be 0 to {MAX_BETA:g}")
    return objective


def _range(span: Any, where: str) -> tuple[float, float]:
    if not isinstance(span, list) or len(span) != 2 or not all(map(_is_number, span)) or span[0] > span[1]:
        raise LoadError(f"{where}={span!r}: must be [lowest, highest]")
    return float(span[0]), float(span[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _take(cls: type[Any], data: Any, where: str) -> dict[str, Any]:
    """``data`` as a dict with exactly the fields of ``cls`` (those with defaults may be absent)."""
    if not isinstance(data, Mapping):
        raise LoadError(f"{where}: must be an object, got {type(data).__name__}")
    known = {f.name for f in fields(cls)}
    optional = {"weight_range", "pull_range", "training", "format"}
    if unknown := set(data) - known:
        raise LoadError(f"{where}: unknown key {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    if missing := known - set(data) - optional:
        raise LoadError(f"{where}: missing key {', '.join(sorted(missing))}")
    return dict(data)
