"""Writes a trained value as a folder that the server loads, with what is known of its training."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mavis_core.api.errors import RunError
from mavis_core.model.policy import Policy
from value_models import durable
from value_models.identity import identify
from value_models.rewards.normalisation import Normalisation
from value_models.training.train_config import TrainConfig
from value_models.value_config import CONFIG_FILE, ObjectiveConfig, ValueConfig

UNTUNED_BETA = 1.0


def make_trainee(
    policy: Policy, objectives: int, config: TrainConfig, seed: int, largest: float | None = None
) -> nn.Module:
    """An untrained value of the kind that ``config`` names.

    Args:
        largest: weight of each objective in training, for values conditioned on it.
    """
    torch.manual_seed(seed)
    return config.learning.fresh(policy, objectives, config, largest)


def untuned(
    described: dict[str, str],
    constants: Normalisation,
    weight_range: tuple[float, float] | None = None,
    pull_range: tuple[float, float] | None = None,
) -> tuple[ObjectiveConfig, ...]:
    """Objectives whose recommended beta is 1 until it is tuned.

    Args:
        described: objective -> description, in the order of the outputs.
        constants: z-scoring of their rewards.
        weight_range: None is the widest.
        pull_range: of values conditioned on the weights.
    """
    allowed = {"weight_range": weight_range} if weight_range else {}
    return tuple(
        ObjectiveConfig(name, text, float(mean), float(std), UNTUNED_BETA, pull_range=pull_range, **allowed)
        for (name, text), mean, std in zip(described.items(), constants.mean, constants.std, strict=True)
    )


def export(
    folder: Path,
    config: TrainConfig,
    policy: Policy,
    trainee: nn.Module,
    objectives: Sequence[ObjectiveConfig],
    training: dict[str, Any],
    tune: Callable[[Path], object] = lambda folder: None,
) -> None:
    """Write the value; ``folder`` appears whole and tuned, and whoever may read its config may read its tensors.

    Args:
        config: that ``trainee`` was made with.
        objectives: in the order of the outputs.
        training: provenance.
        tune: given the folder while it is not in its place; rewrites the config.
    """
    unfinished = folder.parent / "training" / f"{folder.name}.unfinished"  # where nobody looks for values
    shutil.rmtree(unfinished, ignore_errors=True)
    made = ValueConfig(config.kind, tuple(objectives), identify(policy), {}, training)
    config.learning.save(unfinished, made, trainee)
    tune(unfinished)
    for file in unfinished.iterdir():  # safetensors writes for its owner alone
        shutil.copymode(unfinished / CONFIG_FILE, file)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)


def is_there(folder: Path, about: Mapping[str, Any], tuned: bool) -> bool:
    """Whether a value was exported and, if ``tuned``, got its recommended beta.

    Args:
        about: what it has to be made from.

    Raises:
        RunError: it was made from something else.
    """
    if not (folder / CONFIG_FILE).is_file():
        return False
    training = ValueConfig.load(folder).training
    if told := durable.differences({key: training.get(key) for key in about}, about):
        raise RunError(f"{folder}: was made from something else ({told}); choose another folder or remove it")
    return not tuned or "recommended_beta" in training
