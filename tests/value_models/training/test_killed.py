"""SIGKILL at dozens of moments of one run, resumed each time: what comes out is what an undisturbed run makes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from server.cli.app import app
from tests.value_models.evaluation import test_evaluate as evaluation
from tests.value_models.evaluation.test_evaluate import plain
from tests.value_models.fake_judge import FakeJudge, serving
from tests.value_models.killing import Moment, killed_again_and_again
from tests.value_models.training import test_run
from tests.value_models.training.test_run import place

inputs, tiny = test_run.inputs, evaluation.folder
pytestmark = pytest.mark.usefixtures("drawn_pictures")  # as those that are killed do
CONCURRENCY = 4
SHORT = {"epochs": 3, "beta_prompts": 4}
ROUND = {"epochs": 2, "beta_prompts": 0}


def contents(folder: Path) -> dict[str, Any]:
    """Every file of a run: bytes, rows of a judge's answers, what a checkpoint holds; without what a clock said."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".sqlite":
            with sqlite3.connect(path) as database:
                found[name] = sorted(database.execute("SELECT key, score FROM answers").fetchall())
            database.close()
        elif path.suffix == ".pt":  # its pickled structure tells whether tensors were loaded or computed
            found[name] = flat(torch.load(path, weights_only=True))
        elif path.suffix == ".jsonl" and "answers" in name:
            found[name] = plain(path)
        elif path.name != "report.json" and "report/" not in name and not name.endswith(("-wal", "-shm")):
            found[name] = path.read_bytes()
    return found


def flat(data: Any) -> Any:
    """Tensors as bytes, so that == compares them."""
    if isinstance(data, dict):
        return {key: flat(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [flat(value) for value in data]
    return data.numpy().tobytes() if isinstance(data, torch.Tensor) else data


def uninterrupted(command: str, path: Path) -> None:
    result = CliRunner().invoke(app, [command, str(path)])
    assert result.exit_code == 0, result.output


@pytest.fixture
def judge() -> Iterator[FakeJudge]:
    with serving(FakeJudge()) as found:
        yield found


def with_judge(inputs: Path, folder: Path, judge: FakeJudge) -> Path:
    asked = {"url": judge.url, "model": "m", "rubric": "length", "concurrency": CONCURRENCY}
    rewards = {**test_run.SETTINGS["rewards"], "long": {"judge": asked}}
    shape = {"layers": 2, "root_children": 2, "max_tokens": 6}
    rollouts = {"shape": shape, "shard_prompts": 10}
    return place(inputs, folder, rewards=rewards, rollouts=rollouts, count=40, train=SHORT)


def test_fit_killed_in_every_step(inputs: Path, tmp_path: Path, judge: FakeJudge) -> None:
    quiet = with_judge(inputs, tmp_path / "quiet", judge)
    uninterrupted("fit", quiet)
    once = dict(judge.asked)
    assert set(once.values()) == {1}, "equal texts are one question"
    judge.asked.clear()
    path = with_judge(inputs, tmp_path / "killed", judge)
    first = (
        Moment("engine step", 3),  # in the forecast
        Moment("engine step", 12),  # in the middle of the first shard
        Moment("write", 2),  # the first shard has just appeared
        Moment("engine step", 18),
        Moment("judge's answer", 5),  # two for the trial, then the first shard's
        Moment("judge's answer", 7),
        Moment("training step", 1),
        Moment("write", 4, "rename"),  # the second checkpoint
        Moment("training step", 5),  # in the middle of an epoch
    )
    died = list(killed_again_and_again("fit", path, first))
    assert len(died) > len(first)
    assert contents(path.parent / "run") == contents(quiet.parent / "run")
    assert judge.asked.keys() == once.keys(), "nothing lost"
    in_flight = (CONCURRENCY - 1) * sum(moment.what == "judge's answer" for moment in died)
    assert sum(judge.asked.values()) - len(once) <= in_flight, "nobody is asked again for an answer that is known"


def test_rounds_killed(inputs: Path, tmp_path: Path) -> None:
    made = []
    for name in ("quiet", "killed"):
        rollouts = {"shape": {"layers": 2, "root_children": 2, "max_tokens": 5}, "shard_prompts": 20}
        iterate = {"rounds": 1, "beta": 2}
        path = place(inputs, tmp_path / name, rollouts=rollouts, count=40, iterate=iterate, train=ROUND)
        if name == "quiet":
            uninterrupted("fit", path)
        else:
            assert len(list(killed_again_and_again("fit", path, (Moment("training step", 3),)))) > 3
        made.append(contents(path.parent / "run"))
    assert made[0] == made[1]
    assert "round-1/low/value/model.safetensors" in made[1]


def test_distillation_killed(inputs: Path, tmp_path: Path) -> None:
    shape = {"layers": 2, "root_children": 2, "max_tokens": 6}
    run = place(inputs, tmp_path / "it", rollouts={"shape": shape}, count=40, train={"epochs": 1, "beta_prompts": 0})
    uninterrupted("fit", run)
    made = []
    for name in ("quiet", "killed"):
        settings = {
            **{"folder": name, "policy": "policy", "rollouts": "run/rollouts", "teachers": ["run/value"]},
            **{"places": 4, "train": {**ROUND, "held_out": 0.2, "batch_trees": 8}},
        }
        path = run.with_name(f"{name}.yaml")
        path.write_text(yaml.safe_dump(settings))
        if name == "quiet":
            uninterrupted("distill", path)
        else:
            assert len(list(killed_again_and_again("distill", path, (Moment("training step", 2),)))) > 1
        made.append(contents(path.parent / name))
    assert made[0] == made[1]


def test_evaluation_killed(tiny: Path) -> None:
    evaluation.write(tiny)
    uninterrupted("evaluate", tiny / "e.yaml")
    (tiny / "out").rename(tiny / "quiet")
    first = (Moment("engine step", 4), Moment("write", 4, "middle"))
    assert len(list(killed_again_and_again("evaluate", tiny / "e.yaml", first))) > 3
    assert contents(tiny / "out") == contents(tiny / "quiet")
    assert (tiny / "out" / "report" / "report.md").exists()
