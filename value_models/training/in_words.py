"""``mavis fit`` without a file: a model and instructions, written out as the YAML that they stand for.

Beside it stands the file of a second way, ``mavis distill``: a head that is taught the words token by token, on the
same rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mavis_core.api.errors import RunError
from mavis_core.model.model_source import is_hub_id
from value_models import durable

FILE, DISTILL_FILE = "fit.yaml", "distill.yaml"
DEFAULT_PROMPTS = 1000
ROWS = 64
SHAPE = {"layers": 3, "max_tokens": 96}
"""28 nodes and 16 responses below a prompt in place of the paper's 124 and 64: a real model reads every token once more
for each instruction, and a thousand prompts are to be an afternoon on a CPU with two cores.
"""
TAUGHT = {"places": 48, "candidates": 24}
"""Words cost no reading per candidate, and what they say of a stop token, few candidates tell."""
TRAIN = {"batch_trees": 2}
"""Of a hundred prompts, 45 steps an epoch; with eight trees a step there would be eleven, too few to learn from."""


def write_run(policy: str, objectives: Sequence[str], prompts: int, folder: Path) -> Path:
    """The run's file in ``folder``, with that of a distillation beside it; one that is there must say the same.

    Args:
        policy: folder or hub id.
        objectives: ``name=instruction`` each.
        prompts: how many the policy writes.

    Raises:
        RunError: naming the objective, or what the file there says otherwise.
    """
    words = _words(objectives)
    if not Path(policy).exists() and not is_hub_id(policy):
        raise RunError(f"--policy {policy}: no such folder; a hub id looks like 'owner/name'")
    named = str(Path(policy).resolve()) if Path(policy).exists() else policy
    settings: dict[str, Any] = {
        "folder": ".",
        "policy": named,
        "prompts": {"from_policy": prompts},
        "rewards": {name: {"words": text} for name, text in words.items()},
        "rollouts": {"shape": SHAPE},
        "train": TRAIN,
        "engine": {"max_num_seqs": ROWS},
    }
    taught = {"folder": "distilled", "policy": named, "rollouts": "rollouts", "words": words, **TAUGHT, "train": TRAIN}
    path, text = folder / FILE, _yaml(settings)
    if not path.exists():
        durable.replace(folder / DISTILL_FILE, lambda part: part.write_text(_yaml(taught), encoding="utf-8"))
        durable.replace(path, lambda part: part.write_text(text, encoding="utf-8"))
    elif path.read_text(encoding="utf-8") != text:
        raise RunError(f"{path}: says something else; go on with `mavis fit {path}`, or choose another --out")
    return path


def _yaml(settings: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    return text


def _words(objectives: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for objective in objectives:
        name, sign, words = (part.strip() for part in objective.partition("="))
        if not (name and sign and words):
            raise RunError(f"--objective {objective!r}: must be NAME=INSTRUCTION")
        if name in found:
            raise RunError(f"--objective {objective!r}: {name} stands twice")
        found[name] = words
    return found
