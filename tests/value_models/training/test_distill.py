"""Two values become one that loads, steers and says what they say; mistakes are named."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from server.cli.app import app
from tests.models import HIDDEN, RANK, WIDTH
from tests.value_models.configs import value_config
from tests.value_models.evaluation import test_evaluate as evaluation
from value_models.folders import load_value
from value_models.kinds.head import save_head
from value_models.kinds.head_network import HeadNetwork
from value_models.prompts import read_prompts
from value_models.rollouts.roll_out import RolloutConfig, roll_out
from value_models.rollouts.shape import Shape
from value_models.training import distill, sittings
from value_models.value_config import ValueConfig


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy, a value of two objectives, one of a third, and rollouts."""
    tiny = evaluation.made(tmp_path_factory.mktemp("whole"))
    policy = Policy.load(str(tiny / "policy"), torch.device("cpu"), torch.float32)
    torch.manual_seed(1)
    network = HeadNetwork(1, HIDDEN, WIDTH, RANK)
    network.state_out.data *= 30
    save_head(tiny / "third", value_config(policy, "kind"), network)
    lines = "".join(json.dumps({"prompt": f"say {i}"}) + "\n" for i in range(24))
    (tiny / "prompts.jsonl").write_text(lines)
    config = RolloutConfig(Shape(layers=2, max_tokens=8))
    prompts = read_prompts(tiny / "prompts.jsonl")
    roll_out(Engine(policy, [], EngineConfig()), prompts, config, 0, tiny / "rollouts", {}, progress=False)
    return tiny


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy, to distil in."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def write(folder: Path, train: dict[str, Any], **changes: Any) -> str:
    settings = {
        "folder": "out",
        "policy": "policy",
        "rollouts": "rollouts",
        "teachers": ["value", "third"],
        "places": 8,
        "train": {"epochs": 12, "learning_rate": 0.01, "held_out": 0.2, "beta_prompts": 4, "batch_trees": 4, **train},
    }
    (folder / "d.yaml").write_text(yaml.safe_dump({**settings, **changes}))
    return str(folder / "d.yaml")


def test_two_heads_become_one_head(folder: Path) -> None:
    result = CliRunner().invoke(app, ["distill", write(folder, {"kind": "head", "width": 32, "rank": 8})])
    assert result.exit_code == 0, result.output
    config = ValueConfig.load(folder / "out" / "value")
    assert [o.name for o in config.objectives] == ["low", "short", "kind"]
    third = ValueConfig.load(folder / "third").objectives[0]
    kept = config.objectives[2]
    assert (kept.reward_mean, kept.reward_std, kept.weight_range) == (
        third.reward_mean,
        third.reward_std,
        third.weight_range,
    )
    measured = config.training["held_out"]
    assert all(m["mse"] < 0.4 * m["mse_constant"] and m["ranking"] > 0.6 for m in measured.values()), measured
    assert kept.recommended_beta == config.training["recommended_beta"]["kind"]["beta"]
    policy = Policy.load(str(folder / "policy"), torch.device("cpu"), torch.float32)
    engine = Engine(policy, [load_value(folder / "out" / "value", policy)], EngineConfig())
    ((choice,),) = generate(engine, ["say"], SamplingParams(max_tokens=5, seed=0), Guidance({"kind": 1.0, "low": 1.0}))
    assert choice.guidance is not None and choice.guidance.steering_nats > 0
    report = (folder / "out" / "report.json").read_text()
    again = CliRunner().invoke(app, ["distill", str(folder / "d.yaml")])
    assert again.exit_code == 0 and "is there already" in again.output
    assert again.stdout.splitlines()[-1] == result.stdout.splitlines()[-1]
    assert (folder / "out" / "report.json").read_text() == report


def test_the_report_adds_up_sittings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is cut off, one that ends, one that finds everything there."""
    held_out = {"low": {"mse": 0.2, "mse_constant": 1.0, "ranking": 0.9}}
    ended = SimpleNamespace(epoch=3, best=1, history=[{"held_out": held_out, "explained": {"low": 0.8}}])
    endings: list[Any] = [KeyboardInterrupt(), ended, None]

    def work(*_: object) -> Any:
        time.sleep(0.06)
        if isinstance(ending := endings.pop(0), KeyboardInterrupt):
            raise ending
        return ending

    monkeypatch.setattr(sittings, "BEAT", 0.02)
    monkeypatch.setattr(distill, "_distill", work)
    config = distill.DistillConfig(str(tmp_path), "rollouts", ["value"], "policy")
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        distill.distill(config, say=told.append)
    distill.distill(config, say=told.append)
    report = json.loads((tmp_path / "report.json").read_text())["distillation"]
    assert (report["sittings"], report["epochs"], report["held_out"]) == (2, 3, held_out) and report["explained"] == {
        "low": 0.8
    }
    assert report["seconds"] >= 0.1
    distill.distill(config, say=told.append)
    assert json.loads((tmp_path / "report.json").read_text())["distillation"] == report
    assert told[0] == "low: 80.0% of the teacher's variance, siblings ranked as it does 0.900"
    assert told[1] == told[3] == f"mavis serve --model policy --values {tmp_path}/value"


def test_and_an_lm_which_teaches_a_q_lm(folder: Path) -> None:
    settings = {"lm": {"backbone": "small", "hidden_size": 32}, "epochs": 3, "beta_prompts": 0, "width": 16, "rank": 8}
    for kind, teacher in (("lm", "value"), ("q_lm", "lm/value")):
        path = write(folder, {"kind": kind, **settings}, teachers=[teacher])
        result = CliRunner().invoke(app, ["distill", path])
        assert result.exit_code == 0, result.output
        config = ValueConfig.load(folder / "out" / "value")
        assert config.kind == kind and [o.name for o in config.objectives] == ["low", "short"]
        assert all(m["mse"] < m["mse_constant"] for m in config.training["held_out"].values())
        (folder / "out").rename(folder / kind)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"teachers": []}, "teachers: at least one"),
        ({"teachers": ["value", "value"]}, "'low' is scored by two"),
        ({"teachers": ["missing/at/all"]}, "no such folder"),
        ({"train": {"zeta": 0.1}}, "train.zeta: shapes targets made of rewards"),
        ({"train": {"loss_at": "node"}}, "train.loss_at: shapes targets"),
        ({"candidates": 0}, "candidates=0"),
        ({"rollouts": "nothing"}, "nothing"),
        ({"teacher": ["value"]}, "teacher: unknown key; did you mean 'teachers'"),
    ],
)
def test_mistakes_are_named(folder: Path, changes: dict[str, Any], told: str) -> None:
    result = CliRunner().invoke(app, ["distill", write(folder, **{"train": {}, **changes})])
    assert result.exit_code == 1
    assert told in result.output
    assert not (folder / "out" / "value").exists()
