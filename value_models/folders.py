"""A value's folder, here or on the hub, read into a value. Safetensors only, never code."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    StrictDataclassError,
)

from mavis_core.api.errors import LoadError
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.hub import silence
from mavis_core.model.model_source import local_or_hub
from mavis_core.model.policy import Policy
from mavis_core.values.protocol import ValueFunction
from value_models.identity import check_compatible
from value_models.kinds.kind import Kind
from value_models.kinds.registry import KINDS, kind_names
from value_models.value_config import CONFIG_FILE, ValueConfig


def resolve(path: str) -> Path:
    """A local folder, or a hub id downloaded to the hub's cache.

    Raises:
        LoadError: neither exists.
    """
    source = local_or_hub(path)
    if Path(source).is_dir():
        return Path(source)
    reason = silence(path, CONFIG_FILE)
    try:
        wanted = ["*.json", "*.safetensors"]
        return Path(snapshot_download(path, allow_patterns=wanted, local_files_only=reason is not None))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise LoadError(f"{path}: not a local folder, and {reason or f'the hub said: {error}'}") from error


def kind_of(folder: Path, config: ValueConfig) -> Kind:
    """Raises LoadError: there is no such kind."""
    if config.kind not in KINDS:
        raise LoadError(f"{folder / CONFIG_FILE}: kind={config.kind!r}: must be one of {kind_names()}")
    return KINDS[config.kind]


def objectives_of(folder: Path) -> list[ObjectiveInfo]:
    """What a value folder's config says, without its tensors; raises LoadError."""
    config = ValueConfig.load(folder)
    return _describe(config, folder, kind_of(folder, config))


def load_value(folder: Path, policy: Policy) -> ValueFunction:
    """Load one value folder for ``policy``.

    Raises:
        LoadError: naming the folder and what is wrong: config, kind, tensors, or another policy.
    """
    config = ValueConfig.load(folder)
    kind = kind_of(folder, config)
    check_compatible(str(folder), config.policy, policy, kind.reads_policy)
    objectives = _describe(config, folder, kind)
    for objective in objectives:
        if (objective.pull_range is None) == _in_range(kind):
            raise LoadError(
                f"{folder / CONFIG_FILE}: {objective.name}: pull_range: belongs to kind {kind_names(_in_range)} only"
            )
    try:
        return kind.load(folder, config, objectives, policy)
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError, StrictDataclassError) as error:
        raise LoadError(f"{folder}: tensors and architecture do not fit: {error}") from error


def _in_range(kind: Kind) -> bool:
    """Whether values of a kind hold only for the weights that they were trained with."""
    return kind.learning is not None and kind.learning.weights


def _describe(config: ValueConfig, folder: Path, kind: Kind) -> list[ObjectiveInfo]:
    return [
        ObjectiveInfo(
            name=o.name,
            description=o.description,
            kind=kind.name,
            value=folder.name,
            reward_mean=o.reward_mean,
            reward_std=o.reward_std,
            recommended_beta=o.recommended_beta,
            weight_range=o.weight_range,
            additive=kind.additive,
            conditioned=kind.conditioned,
            pull_range=o.pull_range,
        )
        for o in config.objectives
    ]
