"""What ``mavis measure`` does: how well values predict a run's rewards, on trees that the run's own value never saw.

It puts values side by side, such as an old one and its successor: the same trees, the same targets, in the z-units of
the run. Which of them steers better, only decoding can tell (``mavis evaluate``); these figures help to say why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mavis_core.api.errors import RunError
from value_models.training import labels
from value_models.training.distill import load_teachers
from value_models.training.measures import measure
from value_models.training.run import Run
from value_models.training.trainer import predict


def compare_values(run: Run, values: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Measures by value and objective; objectives for which the run has no reward are left out.

    Args:
        run: rolled out and labelled.
        values: as ``mavis serve --values`` takes them, each measured on its own; heads and lms.

    Raises:
        LoadError: a value does not load for the run's policy.
        RunError: the run is not labelled, or a value has none of its objectives.
    """
    names = [reward.name for reward in run.rewards]
    constants = labels.read_constants(run.constants_folder, names)
    policy = run.policy
    made = run.load_data(policy)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in values:
        modules, objectives, _ = load_teachers([path], policy)
        part, batch = made.held_out, run.config.train.batch_trees
        predicted = np.concatenate([predict(module, part, batch, policy.device) for module in modules], axis=1)
        raw = predicted * [o.reward_std for o in objectives] + [o.reward_mean for o in objectives]
        known = {objective.name: column for column, objective in enumerate(objectives)}
        if not known.keys() & set(names):
            raise RunError(f"{path}: scores {', '.join(known)}; the run's rewards are {', '.join(names)}")
        found[path] = {}
        for m, name in enumerate(names):
            if name in known:
                standard = (raw[:, known[name]] - constants.mean[m]) / constants.std[m]
                measured = measure(part.forest, standard, part.targets[:, m], float(made.train.constant[m]))
                found[path][name] = asdict(measured)
    return found
