"""``mavis fit`` without a file: a model and instructions, written out as the YAML that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from mavis_core.api.errors import RunError
from mavis_core.model.model_source import is_hub_id
from value_models import durable

FILE = "fit.yaml"
DEFAULT_PROMPTS = 1000


def write_run(policy: str, objectives: Sequence[str], prompts: int, folder: Path) -> Path:
    """The run's file in ``folder``; one that is there must say the same.

    Args:
        policy: folder or hub id.
        objectives: ``name=instruction`` each.
        prompts: how many the policy writes.

    Raises:
        RunError: naming the objective, or what the file there says otherwise.
    """
    settings = {
        "folder": ".",
        "policy": str(Path(policy).resolve()) if Path(policy).exists() else policy,
        "prompts": {"from_policy": prompts},
        "rewards": _rewards(objectives),
    }
    if not Path(policy).exists() and not is_hub_id(policy):
        raise RunError(f"--policy {policy}: no such folder; a hub id looks like 'owner/name'")
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    path = folder / FILE
    if not path.exists():
        durable.replace(path, lambda part: part.write_text(text, encoding="utf-8"))
    elif path.read_text(encoding="utf-8") != text:
        raise RunError(f"{path}: says something else; go on with `mavis fit {path}`, or choose another --out")
    return path


def _rewards(objectives: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for objective in objectives:
        name, sign, words = (part.strip() for part in objective.partition("="))
        if not (name and sign and words):
            raise RunError(f"--objective {objective!r}: must be NAME=INSTRUCTION")
        if name in found:
            raise RunError(f"--objective {objective!r}: {name} stands twice")
        found[name] = {"words": words}
    return found
