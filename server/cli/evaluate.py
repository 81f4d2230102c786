"""``mavis baseline`` and ``mavis evaluate``: other ways of steering, and all of them compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.cli.run_file import run_file


def baseline(
    config: Annotated[
        Path, typer.Argument(help="YAML file that names the policy, the prompts, the rewards and methods.")
    ],
) -> None:
    """Train policies by RL to compare values with: MORLHF, RSoup, MOD. Resumes after its last checkpoint."""
    with run_file(config):
        from value_models.baselines.config import load_config
        from value_models.baselines.train import train_policies

        train_policies(load_config(config), say=typer.echo)


def evaluate(
    config: Annotated[Path, typer.Argument(help="YAML file that names the ways of steering, the prompts and rewards.")],
) -> None:
    """Compare ways of steering at equal KL, on the same prompts; writes a report. Resumes where it stopped."""
    with run_file(config):
        from value_models.evaluation.config import load_config
        from value_models.evaluation.evaluate import Evaluation

        Evaluation(load_config(config), say=typer.echo).run()
