"""A YAML file as a checked dataclass; what ``mavis fit`` and ``mavis evaluate`` are told."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from mavis_core.errors import RunError
from value_models.rewards.registry import RewardConfig
from value_models.training.checked import read

OWN = ("folder", "prompts", "constants", "anchor")


def read_yaml(path: Path, cls: type[Any]) -> Any:
    """An instance of ``cls``, its paths as written; a reward that says nothing is one that ships.

    Raises:
        RunError: naming the file and the key.
    """
    try:
        import yaml
    except ImportError as error:
        raise RunError(f"{path}: reading YAML needs pyyaml: install mavis-server[train]") from error
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{path}: {error}") from error
    if isinstance(data, dict) and isinstance(data.get("rewards"), dict):
        data["rewards"] = {name: {} if reward is None else reward for name, reward in data["rewards"].items()}
    try:
        return read(cls, data, "")
    except RunError as error:
        raise RunError(f"{path}: {error}") from error


def read_config(path: Path, cls: type[Any]) -> Any:
    """``read_yaml`` with the paths that these files share resolved.

    What a run owns lies beside its file; its policy and its rewards' classifiers may be hub ids.

    Raises:
        RunError: naming the file and the key.
    """
    config = read_yaml(path, cls)
    written = {f.name: getattr(config, f.name) for f in fields(config)}
    found: dict[str, Any] = {name: str(path.resolve().parent / written[name]) for name in OWN if written.get(name)}
    if written.get("policy"):
        found["policy"] = beside(path, written["policy"])
    if "rewards" in written:
        found["rewards"] = rewards_beside(path, written["rewards"])
    return replace(config, **found)


def beside(path: Path, name: str) -> str:
    """What ``name`` means in the file ``path``: a file or folder beside it, else as it stands (a hub id)."""
    found = path.resolve().parent / name
    return str(found) if found.exists() else name


def rewards_beside(path: Path, rewards: dict[str, RewardConfig]) -> dict[str, RewardConfig]:
    """Rewards with classifiers found beside the file."""
    return {
        name: replace(reward, classifier=beside(path, reward.classifier)) if reward.classifier else reward
        for name, reward in rewards.items()
    }
