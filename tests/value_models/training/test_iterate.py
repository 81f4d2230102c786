"""Rounds: what each is made of, and two of them through the command on a tiny policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from mavis_core.api.errors import RunError
from server.cli.app import app
from tests.value_models.evaluation.test_evaluate import REWARDS
from tests.value_models.evaluation.test_evaluate import folder as tiny  # noqa: F401
from value_models.training.iterate import runs
from value_models.training.run_config import load_config
from value_models.value_config import ValueConfig


def write(folder: Path, **changes: Any) -> Path:
    settings = {
        "folder": "run",
        "prompts": "prompts.jsonl",
        "policy": "policy",
        "rewards": {"low": {"function": f"{REWARDS}:low"}, "short": {"function": f"{REWARDS}:short"}},
        "rollouts": {"shape": {"layers": 2, "max_tokens": 6}},
        "train": {"epochs": 2, "held_out": 0.2, "beta_prompts": 0},
        "iterate": {"rounds": 1, "beta": 4},
    }
    (folder / "policy").mkdir(exist_ok=True)  # a file is read only where its folders are there
    (folder / "run.yaml").write_text(yaml.safe_dump({**settings, **changes}))
    return folder / "run.yaml"


def test_rounds_build_on_each_other(tmp_path: Path) -> None:
    found = runs(load_config(write(tmp_path, iterate={"rounds": 2, "beta": 4})))
    run = tmp_path / "run"
    assert [str(Path(c.folder).relative_to(run)) for c in found] == [
        *("round-0", "round-1/low", "round-1/short", "round-2/low", "round-2/short")
    ]
    assert not found[0].rollouts.weights and found[0].train.zeta == 0 and set(found[0].rewards) == {"low", "short"}
    assert [c.values for c in found[1:]] == [[str(run / p / "value")] for p in ("round-0",) * 2] + [
        [str(run / f"round-1/{name}/value")] for name in ("low", "short")
    ]
    for each in found[1:]:
        (name,) = each.rewards
        assert each.rollouts.weights == {name: 1.0} and each.rollouts.beta == 4 and each.train.zeta == 0.25
        assert each.constants == str(run / "round-0" / "labels")
    assert [c.seed for c in found] == [0, 1, 1, 2, 2]


def test_two_rounds_through_the_command(tiny: Path) -> None:  # noqa: F811
    path = write(tiny)
    result = CliRunner().invoke(app, ["fit", str(path)])
    assert result.exit_code == 0, result.output
    base = ValueConfig.load(tiny / "run" / "round-0" / "value")
    assert [o.name for o in base.objectives] == ["low", "short"]
    for m, name in enumerate(("low", "short")):
        config = ValueConfig.load(tiny / "run" / "round-1" / name / "value")
        (own,) = config.objectives
        assert (own.reward_mean, own.reward_std) == (base.objectives[m].reward_mean, base.objectives[m].reward_std)
        assert own.weight_range == (0.0, 16.0), "a KL penalty holds for wanting, not for avoiding"
        made = json.loads((tiny / "run" / "round-1" / name / "rollouts" / "manifest.json").read_text())
        assert made["settings"]["weights"] == {name: 1.0} and made["settings"]["beta"] == 4
    again = CliRunner().invoke(app, ["fit", str(path)])
    assert again.exit_code == 0 and again.output.count("is there already") == 3
    step = CliRunner().invoke(app, ["rollouts", str(path)])
    assert step.exit_code == 1 and "`mavis fit` goes through the rounds" in step.output


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"iterate": {"rounds": 0, "beta": 1}}, "iterate.rounds=0: must be at least 1"),
        ({"iterate": {"rounds": 1, "beta": 0}}, "iterate.beta=0: must be above 0"),
        ({"iterate": {"rounds": 1}}, "iterate.beta: is missing"),
        ({"values": ["x"]}, "iterate: sets rollouts.weights"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RunError, match=told):
        load_config(write(tmp_path, **changes))
