"""Rounds: values learned again on the policies that the last round's values make (the paper's iterations, and ours).

A value predicts how a text ends if somebody finishes it. Round 0 learns from texts that the base model finished. But a
steered text is finished by the steered policy, so the next round learns from texts of that one, and so on:

    pi_{j+1} ~ pi_ref exp(beta Q^{pi_j}),    Q counts R - KL still to come / beta

``independent`` (the paper): round 0 learns all objectives at once; then each objective is rolled out under its own
policy, with a price of zeta = 1 / beta per nat of KL still to come, for which the rounds climb to the best policy of
that objective alone. Requests that mix objectives then use values of policies that nobody follows.

``joint`` (ours): every tree is rolled out under weights w of its own, and one value learns them as an input,

    pi_{j+1}(. ; w) ~ pi_ref exp(sum_m w_m V_m^{pi_j}(. ; w) - W^{pi_j}(. ; w))

with W the KL still to come; this climbs to the best policy of every w at once. Trees of round 0 are those of w = 0, so
all rounds learn from them. Trees of the rounds between are not used again: their policies are gone.

Every round is a run of its own whose folder stays, so that rounds can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from value_models.kinds.conditioned_head import CONDITIONED_HEAD
from value_models.rollouts.mixture import Mixture
from value_models.training.run_config import IterateConfig, RunConfig


def runs(config: RunConfig) -> list[RunConfig]:
    """The runs of a file, in the order in which they need each other; without ``iterate`` the file's own."""
    if config.iterate is None:
        return [config]
    first = replace(config, folder=str(Path(config.folder) / "round-0"), iterate=None)
    following = _joint if config.iterate.kind == "joint" else _independent
    return [first, *following(config, config.iterate, first)]


def last_values(runs: Sequence[RunConfig]) -> list[str]:
    """Folders of the values to serve: of every objective the last one."""
    last = {name: run.folder for run in runs for name in run.rewards}
    return [str(Path(folder) / "value") for folder in dict.fromkeys(last.values())]


def _joint(config: RunConfig, iterate: IterateConfig, first: RunConfig) -> list[RunConfig]:
    folder = Path(config.folder)
    return [
        replace(
            first,
            folder=str(folder / f"round-{number}"),
            values=[str(folder / f"round-{number - 1}" / "value")],
            constants=str(folder / "round-0" / "labels"),
            anchor=first.folder,
            rollouts=replace(config.rollouts, mixture=Mixture(iterate.beta, list(config.rewards))),
            train=replace(config.train, kind=CONDITIONED_HEAD.name),
            seed=config.seed + number,
        )
        for number in range(1, iterate.rounds + 1)
    ]


def _independent(config: RunConfig, iterate: IterateConfig, first: RunConfig) -> list[RunConfig]:
    folder, beta = Path(config.folder), iterate.beta
    found = []
    for number in range(1, iterate.rounds + 1):
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
