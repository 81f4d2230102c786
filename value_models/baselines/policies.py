"""Policies trained by RL, on disk: ``mavis baseline`` writes them, ``mavis evaluate`` reads them. Torch-free.

FOLDER/NAME/manifest.json   the weights that it was trained for
FOLDER/NAME/step-100/       a model folder as transformers saves it, with the tokenizer; one per checkpoint
FOLDER/NAME/log.jsonl       rewards, KL and length, step by step
FOLDER/NAME/trainer/        what is needed to go on
FOLDER/mod/                 a value of kind ``policy``: the last checkpoints of those policies that have one reward each
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mavis_core.api.errors import RunError
from value_models import durable
from value_models.rollouts.shards import MANIFEST

MIX = "mod"
LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Trained:
    """One policy and its checkpoints."""

    folder: Path
    weights: dict[str, float]

    @property
    def steps(self) -> list[int]:
        """Of its checkpoints, rising."""
        names = [found.name.removeprefix("step-") for found in self.folder.glob("step-*")]
        return sorted(int(name) for name in names if name.isdigit())

    def checkpoint(self, step: int) -> Path:
        return self.folder / f"step-{step}"


def read_policies(folder: Path) -> dict[str, Trained]:
    """Every policy below the folder of a ``mavis baseline`` run, finished or not.

    Raises:
        RunError: there are none.
    """
    found = {
        manifest.parent.name: Trained(manifest.parent, durable.read_json(manifest)["weights"])
        for manifest in sorted(folder.glob(f"*/{MANIFEST}"))
    }
    if not found:
        raise RunError(f"{folder}: has no policies; is it the folder of a `mavis baseline` run?")
    return found


def read_log(policy: Path) -> list[dict[str, Any]]:
    """One record per step."""
    return [json.loads(line) for line in (policy / LOG).read_text(encoding="utf-8").splitlines()]


def at_weights(policies: dict[str, Trained], weights: dict[str, float]) -> Trained | None:
    """The policy of exactly these weights, those of 0 left out."""
    wanted = {name: weight for name, weight in weights.items() if weight}
    for policy in policies.values():
        own = {name: weight for name, weight in policy.weights.items() if weight}
        if own.keys() == wanted.keys() and all(abs(own[name] - wanted[name]) < 1e-6 for name in own):
            return policy
    return None
