"""A run's own value is measured as its training did; another's figures come from its own units."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.app import app
from tests.value_models.training.test_run import inputs, place  # noqa: F401
from value_models import durable
from value_models.value_config import ValueConfig


@pytest.fixture(scope="module")
def run(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    path = place(inputs, tmp_path_factory.mktemp("measured") / "run", train={"epochs": 2})
    assert CliRunner().invoke(app, ["fit", str(path)]).exit_code == 0
    return path


def test_a_runs_own_value_is_measured_as_in_training(run: Path) -> None:
    value, out = run.parent / "run" / "value", run.parent / "out.json"
    done = CliRunner().invoke(app, ["measure", str(run), "--values", str(value), "--out", str(out)])
    assert done.exit_code == 0, done.output
    reported = durable.read_json(run.parent / "run" / "report.json")["training"]["held_out"]["low"]
    found = json.loads(out.read_text())[str(value)]["low"]
    assert found["mse"] == pytest.approx(reported["mse"], rel=1e-5)
    assert (found["ranking"], found["pairs"]) == (reported["ranking"], reported["pairs"])
    assert f"MSE {found['mse']:.3f}" in done.output


def test_a_value_speaks_in_its_own_units(run: Path) -> None:
    """V in z-units of half the standard deviation says half of what it said."""
    value, other = run.parent / "run" / "value", run.parent / "other"
    shutil.copytree(value, other)
    config = ValueConfig.load(other)
    halved = tuple(replace(o, reward_std=o.reward_std / 2, reward_mean=o.reward_mean) for o in config.objectives)
    replace(config, objectives=halved).save(other)
    out = run.parent / "both.json"
    command = ["measure", str(run), "--values", f"{value}, {other}", "--values", str(value), "--out", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    first, second = (json.loads(out.read_text())[str(folder)]["low"] for folder in (value, other))
    assert second["ranking"] == first["ranking"]
    assert [x for x, _ in second["calibration"]] == pytest.approx([x / 2 for x, _ in first["calibration"]], rel=1e-4)


def test_a_value_of_other_objectives_is_named(run: Path) -> None:
    value, other = run.parent / "run" / "value", run.parent / "alien"
    shutil.copytree(value, other)
    config = ValueConfig.load(other)
    replace(config, objectives=(replace(config.objectives[0], name="high"),)).save(other)
    done = CliRunner().invoke(app, ["measure", str(run), "--values", str(other)])
    assert done.exit_code == 1
    assert "alien: scores high; the run's rewards are low" in done.output


def test_figures_that_could_not_be_kept_are_not_measured(run: Path) -> None:
    out = run.parent / "absent" / "out.json"
    done = CliRunner().invoke(app, ["measure", str(run), "--values", "never looked at", "--out", str(out)])
    assert done.exit_code == 1
    assert done.output.strip() == f"--out {out}: there is no folder {out.parent}"
