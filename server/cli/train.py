"""``mavis rollouts``, ``label``, ``train``, ``fit``, ``measure`` and ``distill``: how values are made and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mavis_core.api.errors import ConfigError
from server.cli.run_file import a_run, run_file

TheRun = Annotated[
    Path, typer.Argument(help="YAML file that describes the training run: policy, prompts, rewards, folder of results.")
]


def rollouts(config: TheRun) -> None:
    """Sample trees of responses to a run's prompts. Resumes where it stopped."""
    with a_run(config) as run:
        run.roll_out()


def label(config: TheRun) -> None:
    """Score the sampled responses by every reward of a run. Resumes where it stopped."""
    with a_run(config) as run:
        run.label()


def train(config: TheRun) -> None:
    """Train a run's value on its labelled rollouts. Resumes after its last whole epoch."""
    with a_run(config) as run:
        run.train()


def fit(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file that describes the training run. Default: what the options say.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Without a file: the model, a folder or hub id.")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="Without a file: an objective in words, 'cheerful=Be very cheerful.'. May be given several times."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Without a file: folder of results, which gets the YAML file too.")
    ] = None,
    prompts: Annotated[
        int | None, typer.Option(min=2, help="Without a file: how many prompts the model writes. Default: 1000.")
    ] = None,
) -> None:
    """From prompts and rewards to a value: rollouts, label and train in one. Resumes where it stopped."""
    options = {"--policy": policy, "--objective": objective, "--out": out, "--prompts": prompts}
    given = [name for name, value in options.items() if value is not None]
    if config is not None and given:
        raise ConfigError(f"{', '.join(given)}: stands for a file, and there is one: {config}")
    if config is None:
        if policy is None or not objective or out is None:
            raise ConfigError("fit: needs a YAML file, or --policy, --objective and --out")
        from value_models.training.in_words import DEFAULT_PROMPTS, DISTILL_FILE, write_run

        config = write_run(policy, objective, prompts or DEFAULT_PROMPTS, out)
        typer.echo(f"{config}: the run; {out / DISTILL_FILE}: the same words for `mavis distill`, on its rollouts")
    with run_file(config):
        from value_models.training.iterate import last_values, runs
        from value_models.training.run import Run
        from value_models.training.run_config import load_config
        from value_models.training.verdict import serve_line

        rounds = runs(load_config(config))
        for number, each in enumerate(rounds, 1):
            if len(rounds) > 1:
                typer.echo(f"run {number} of {len(rounds)}: {each.folder}")
            run = Run(each, say=typer.echo)
            run.fit()
        if len(rounds) > 1:
            typer.echo(serve_line(run.policy_path, last_values(rounds)))


def measure(
    config: TheRun,
    values: Annotated[
        list[str],
        typer.Option(
            help="Values to measure, comma-separated: folders, ids on the Hugging Face hub, shipped:heads, "
            "shipped:lm or shipped:smollm2. May be given several times."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write all figures to. Default: they are printed only.")
    ] = None,
) -> None:
    """How well values foresee the rewards of a run's held-out trees, beside the trivial predictors."""
    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")
    with a_run(config) as run:
        from value_models.training.compare_values import compare_values

        named = [value.strip() for each in values for value in each.split(",") if value.strip()]
        found = compare_values(run, named)
        for value, objectives in found.items():
            for name, m in objectives.items():
                typer.echo(
                    f"{value}  {name}: MSE {m['mse']:.3f} (constant {m['mse_constant']:.3f}, mean of the prompt "
                    f"{m['mse_prompt_mean']:.3f}), siblings ranked right {m['ranking']:.3f}"
                )
        if out is not None:
            out.write_text(json.dumps(found, indent=1) + "\n")


def distill(
    config: Annotated[Path, typer.Argument(help="YAML file that names the values to learn from and the one to train.")],
) -> None:
    """Teach one value what several say. Resumes after its last whole epoch."""
    with run_file(config):
        from value_models.training import distill as distillation

        distillation.distill(distillation.load_config(config), say=typer.echo)
