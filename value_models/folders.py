"""Values on disk: read a folder into a value, write a trained one. Safetensors only, never code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    StrictDataclassError,
)
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModel

from mavis_core.errors import LoadError
from mavis_core.messages import ObjectiveInfo
from mavis_core.policy import Policy, local_or_hub
from mavis_core.value import ValueFunction
from value_models.identity import check_compatible
from value_models.kinds.conditioned_head import ConditionedHeadNetwork, ConditionedHeadValue
from value_models.kinds.head import HeadNetwork, HeadValue
from value_models.kinds.implicit_folder import load_implicit
from value_models.kinds.lm import LmValue
from value_models.tensors import load_parts, read_tensors, save_parts
from value_models.value_config import CONFIG_FILE, WEIGHTS_FILE, ValueConfig

KINDS = ("head", "conditioned_head", "lm", "implicit", "policy")


def resolve(path: str) -> Path:
    """A local folder, or a hub id downloaded to the hub's cache.

    Raises:
        LoadError: neither exists.
    """
    source = local_or_hub(path)
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(path, allow_patterns=["*.json", "*.safetensors"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise LoadError(f"{path}: not a local folder, and the hub said: {error}") from error


def load_value(folder: Path, policy: Policy) -> ValueFunction:
    """Load one value folder for ``policy``.

    Raises:
        LoadError: naming the folder and what is wrong: config, kind, tensors, or another policy.
    """
    config = ValueConfig.load(folder)
    if config.kind not in KINDS:
        raise LoadError(f"{folder / CONFIG_FILE}: kind={config.kind!r}: must be one of {', '.join(KINDS)}")
    check_compatible(str(folder), config.kind, config.policy, policy)
    objectives = _describe(config, folder)
    for objective in objectives:
        if (objective.pull_range is None) == (config.kind == "conditioned_head"):
            raise LoadError(
                f"{folder / CONFIG_FILE}: {objective.name}: pull_range: belongs to kind conditioned_head only"
            )
    try:
        if config.kind in ("implicit", "policy"):
            return load_implicit(folder, config, objectives, policy)
        tensors = read_tensors(folder)
        if config.kind == "head":
            network = HeadNetwork(len(objectives), **config.architecture)
            network.load_state_dict(tensors)
            return HeadValue(folder.name, objectives, network, policy.readout.weight)
        if config.kind == "conditioned_head":
            conditioned = ConditionedHeadNetwork(len(objectives), **config.architecture)
            conditioned.load_state_dict(tensors)
            return ConditionedHeadValue(folder.name, objectives, conditioned, policy.readout.weight)
        backbone, readout = build_lm(config.architecture, len(objectives))
        if backbone.config.vocab_size < policy.vocab_size:
            raise ValueError(f"vocab_size={backbone.config.vocab_size}: the policy has {policy.vocab_size} tokens")
        load_parts(tensors, {"backbone": backbone, "readout": readout})
        return LmValue(folder.name, objectives, backbone, readout)
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError, StrictDataclassError) as error:
        raise LoadError(f"{folder}: tensors and architecture do not fit: {error}") from error


def build_lm(architecture: dict[str, Any], objectives: int) -> tuple[Any, nn.Linear]:
    """A randomly initialised backbone and readout: ``architecture`` is a transformers config with its model_type."""
    settings = dict(architecture)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    # transformers sets torch's default dtype, for every thread, to the one given here while it builds; another than
    # float32 would reach the engine that is running beside.
    backbone = AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)
    return backbone, nn.Linear(config.hidden_size, objectives)


def save_head(folder: Path, config: ValueConfig, network: HeadNetwork | ConditionedHeadNetwork) -> None:
    """Write a trained head, conditioned or not."""
    config.save(folder)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS_FILE)


def save_lm(folder: Path, config: ValueConfig, backbone: nn.Module, readout: nn.Module) -> None:
    """Write a trained value LM."""
    config.save(folder)
    save_parts(folder, {"backbone": backbone, "readout": readout})


def _describe(config: ValueConfig, folder: Path) -> list[ObjectiveInfo]:
    return [
        ObjectiveInfo(
            name=o.name,
            description=o.description,
            kind=config.kind,
            value=folder.name,
            reward_mean=o.reward_mean,
            reward_std=o.reward_std,
            recommended_beta=o.recommended_beta,
            weight_range=o.weight_range,
            additive=config.kind in ("implicit", "policy"),
            pull_range=o.pull_range,
        )
        for o in config.objectives
    ]
