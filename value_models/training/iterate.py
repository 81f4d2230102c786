"""Rounds: each objective's values learned again on the policy that its last values make (the paper's iterations).

    pi_{j+1} ~ pi_ref exp(beta Q^{pi_j}),    Q counts R - KL still to come / beta

Round 0 learns all objectives at once on the base model. From then on each objective rolls out under its own
single-objective policy, with the penalty zeta = 1 / beta on the future, for which the iteration climbs to the soft
optimum of that objective. Every round is a run of its own whose folder stays, so that rounds can be compared.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from value_models.training.run_config import RunConfig


def runs(config: RunConfig) -> list[RunConfig]:
    """The runs of a file, in the order in which they need each other; without ``iterate`` the file's own."""
    if config.iterate is None:
        return [config]
    folder, beta = Path(config.folder), config.iterate.beta
    first = replace(config, folder=str(folder / "round-0"), iterate=None)
    found = [first]
    for number in range(1, config.iterate.rounds + 1):
        for name, reward in config.rewards.items():
            before = folder / (f"round-{number - 1}" if number == 1 else f"round-{number - 1}/{name}")
            found.append(
                replace(
                    first,
                    folder=str(folder / f"round-{number}" / name),
                    rewards={name: reward},
                    values=[str(before / "value")],
                    constants=str(folder / "round-0" / "labels"),
                    rollouts=replace(config.rollouts, weights={name: 1.0}, beta=beta),
                    train=replace(config.train, zeta=1 / beta),
                    seed=config.seed + number,
                )
            )
    return found
