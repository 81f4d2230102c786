"""A YAML file as a checked dataclass; what ``mavis fit`` and ``mavis evaluate`` are told."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from mavis_core.api.errors import RunError
from mavis_core.model.model_source import is_hub_id
from value_models.checked import read
from value_models.kinds.lm_backbone import OURS
from value_models.loading import NAMED
from value_models.rewards.registry import RewardConfig
from value_models.training.train_config import TrainConfig

OWN = ("folder", "prompts", "constants", "anchor")


def read_yaml(path: Path, cls: type[Any]) -> Any:
    """An instance of ``cls``, its paths as written; a reward that says nothing is one that ships.

    Raises:
        RunError: naming the file and the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_twice(yaml.compose(text, yaml.SafeLoader), path)
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise RunError(f"{path}{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    if isinstance(data, dict) and isinstance(data.get("rewards"), dict):
        data["rewards"] = {name: {} if reward is None else reward for name, reward in data["rewards"].items()}
    try:
        return read(cls, data, "")
    except RunError as error:
        raise RunError(f"{path}: {error}") from error


def _refuse_twice(node: Any, path: Path) -> None:
    """PyYAML lets the last of two equal keys win; what the first one said would be lost without a word."""
    keys = [key.value for key, _ in node.value] if getattr(node, "id", "") == "mapping" else []
    for i, key in enumerate(keys):
        if key in keys[:i]:
            line = node.value[i][0].start_mark.line + 1
            raise RunError(f"{path}, line {line}: {key}: stands twice")
    for child in node.value if getattr(node, "id", "") in ("mapping", "sequence") else []:
        for each in child if isinstance(child, tuple) else (child,):
            _refuse_twice(each, path)


def read_config(path: Path, cls: type[Any]) -> Any:
    """``read_yaml`` with the paths that these files share resolved.

    What a run owns lies beside its file; its policy and its rewards' classifiers may be hub ids.

    Raises:
        RunError: naming the file and the key, and, for a folder that is not there, where it was looked for.
    """
    config = read_yaml(path, cls)
    written = {f.name: getattr(config, f.name) for f in fields(config)}
    found: dict[str, Any] = {name: relative(path, written[name]) for name in OWN if isinstance(written.get(name), str)}
    if written.get("policy"):
        found["policy"] = beside(path, written["policy"], "policy")
    train = written.get("train")
    if isinstance(train, TrainConfig) and train.lm.backbone not in OURS:
        backbone = beside(path, train.lm.backbone, "train.lm.backbone")
        found["train"] = replace(train, lm=replace(train.lm, backbone=backbone))
    if "rewards" in written:
        found["rewards"] = rewards_beside(path, written["rewards"])
    return replace(config, **found)


def relative(path: Path, name: str) -> str:
    """The path that ``name`` is in the file ``path``: relative to the file, ``~`` the user's home."""
    return str(path.resolve().parent / os.path.expanduser(name))


def beside(path: Path, name: str, key: str = "") -> str:
    """What ``name`` means in the file ``path``: a file or folder beside it, else a hub id or a name of ours as it is.

    Raises:
        RunError: it can only be a path, and there is nothing; naming the file and the ``key``.
    """
    found = relative(path, name)
    if Path(found).exists():
        return found
    if is_hub_id(name) or name in NAMED:
        return name
    where = f"{key}={name!r}" if key else name
    raise RunError(
        f"{path}: {where}: no such folder: {found} (paths are relative to this file; a hub id looks like 'owner/name')"
    )


def all_beside(path: Path, names: list[str], key: str) -> list[str]:
    """``beside`` of each item of a list."""
    return [beside(path, name, f"{key}[{i}]") for i, name in enumerate(names)]


def rewards_beside(path: Path, rewards: dict[str, RewardConfig]) -> dict[str, RewardConfig]:
    """Rewards with classifiers found beside the file."""
    found = {
        name: beside(path, reward.classifier, f"rewards.{name}.classifier")
        for name, reward in rewards.items()
        if reward.classifier
    }
    return rewards | {name: replace(rewards[name], classifier=classifier) for name, classifier in found.items()}
