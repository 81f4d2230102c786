"""A whole run on a tiny policy: from a YAML file to a value that loads and steers; killed and resumed on the way."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import LlamaForCausalLM
from typer.testing import CliRunner

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.offline import generate
from server.cli.app import app
from tests.forked import Forked
from tests.forked_mavis import mavis
from tests.models import save_byte_llama
from tests.value_models.pictures import drawn
from tests.value_models.toy_rewards import low
from value_models.loading import build_engine, value_folders
from value_models.training.run import Run
from value_models.training.run_config import load_config
from value_models.value_config import ValueConfig

SETTINGS: dict[str, Any] = {
    "folder": "run",
    "prompts": "prompts.jsonl",
    "policy": "policy",
    "rewards": {"low": {"function": "tests.value_models.toy_rewards:low"}},
    "seed": 3,
    "engine": {"max_num_seqs": 32},
    "rollouts": {"shape": {"layers": 3, "root_children": 3, "max_tokens": 10}, "shard_prompts": 20},
    "train": {"epochs": 6, "learning_rate": 0.003, "batch_trees": 2, "beta_prompts": 8, "held_out": 0.2},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama over bytes and 80 prompts."""
    folder = tmp_path_factory.mktemp("inputs")
    save_byte_llama(folder / "policy")
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"say {i}"}) + "\n" for i in range(80)))
    return folder


def place(inputs: Path, folder: Path, **changes: Any) -> Path:
    """The inputs and a run's file in a folder of their own; the file."""
    shutil.copytree(inputs, folder)
    settings = {**SETTINGS, **{name: changes[name] for name in changes if name != "train"}}
    settings["train"] = {**SETTINGS["train"], **changes.get("train", {})}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def fit(path: Path) -> Path:
    Run(load_config(path), progress=False, say=lambda line: None).fit()
    return path.parent / "run" / "value"


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with drawn():
        return fit(place(inputs, tmp_path_factory.mktemp("whole") / "it"))


def score(inputs: Path, value: Path, weight: float, beta: float | None = None) -> float:
    engine = build_engine(str(inputs / "policy"), [str(value)], EngineConfig())
    sampling = [SamplingParams(max_tokens=10, min_tokens=1, seed=i) for i in range(80)]
    guidance = Guidance({"low": weight}, beta=beta)
    answers = generate(engine, [f"tell {i}" for i in range(80)], sampling, guidance)
    return float(np.mean(low(None, [choice.text for (choice,) in answers])))


def test_the_value_loads_and_moves_its_reward_both_ways(inputs: Path, whole: Path) -> None:
    down, base, up = (score(inputs, whole, weight, 3.0) for weight in (-1.0, 0.0, 1.0))
    assert down < base - 0.03 < base + 0.03 < up


def test_the_folder_says_how_it_was_made(whole: Path) -> None:
    config = ValueConfig.load(whole)
    (objective,) = config.objectives
    assert objective.description == "Share of characters in the lower half of the byte range."
    tuned = config.training["recommended_beta"]["low"]
    assert objective.recommended_beta == tuned["beta"]
    assert tuned["steering_nats_per_token"] == pytest.approx(0.2, rel=0.1)
    assert config.training["rollouts"]["settings"]["shape"]["max_tokens"] == 10
    assert config.training["held_out"]["low"]["pairs"] > 100
    run = whole.parent
    records = [json.loads(line) for line in (run / "training" / "log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records] == list(range(1, len(records) + 1))
    assert (run / "training" / "training.png").stat().st_size > 1000
    assert set(json.loads((run / "report.json").read_text())) == {"rollouts", "labels", "training"}


def test_whoever_may_read_the_config_may_read_the_tensors(whole: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in whole.iterdir()}
    assert set(modes) == {"config.json", "model.safetensors"}
    assert modes["model.safetensors"] == modes["config.json"]
    assert modes["config.json"] & 0o400


def test_the_value_appears_whole_and_tuned_or_not_at_all(
    inputs: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place(inputs, tmp_path / "it")
    run = path.parent / "run"
    for step in ("rollouts", "labels", "training"):
        shutil.copytree(whole.parent / step, run / step)

    def interrupted(*args: Any) -> None:
        assert not (run / "value").exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("value_models.training.run.tune_folder", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(path)
    assert not (run / "value").exists() and len(value_folders(str(whole.parent))) == 1
    with pytest.raises(LoadError, match=r"no config\.json in it"):
        value_folders(str(run))
    resumed = fit(path)
    assert (resumed / "config.json").read_bytes() == (whole / "config.json").read_bytes()


def test_every_phase_shows_a_bar_and_the_last_line_serves(inputs: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it", count=20, train={"epochs": 1, "beta_prompts": 2})
    result = CliRunner().invoke(app, ["fit", str(path)])
    assert result.exit_code == 0, result.output
    for phase in ("rollouts", "labels", "train", "beta"):
        assert f"{phase}: 100%" in result.stderr
    lines = result.stdout.strip().splitlines()
    assert lines.index("Forecast, from a few seconds on this machine:") < 3
    assert "WARNING: too little is held out" in lines[-2], "4 prompts"
    value = path.parent / "run" / "value"
    assert shlex.split(lines[-1])[2:] == ["--model", str(path.parent / "policy"), "--values", str(value)]


def test_a_second_fit_does_nothing_and_other_settings_are_refused(whole: Path) -> None:
    path = whole.parents[1] / "run.yaml"
    kept = [*whole.parent.rglob("*.safetensors"), whole.parent / "report.json"]
    before = {p: p.stat().st_mtime_ns for p in kept}
    assert CliRunner().invoke(app, ["fit", str(path)]).exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in kept} == before
    other = path.with_name("other.yaml")
    other.write_text(path.read_text().replace("epochs: 6", "epochs: 7"))
    result = CliRunner().invoke(app, ["train", str(other)])
    assert result.exit_code == 1
    assert "begun with other settings" in result.output and "'epochs': 7" in result.output


def test_killed_while_training_it_ends_with_the_same_value(inputs: Path, whole: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it")
    for step in ("rollouts", "labels"):
        shutil.copytree(whole.parent / step, tmp_path / "it" / "run" / step)
    log = tmp_path / "it" / "run" / "training" / "log.jsonl"
    process = Forked(mavis, "train", str(path))
    deadline = time.monotonic() + 100
    while not log.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "it" / "run" / "value").exists()
    resumed = fit(path)
    for name in ("model.safetensors", "config.json"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("kind", "lm"),
    [
        ("lm", {"backbone": "small", "hidden_size": 32}),
        ("q_lm", {"backbone": "policy", "lora_rank": 2}),
    ],
)
def test_an_lm_is_trained_exported_and_served(
    inputs: Path, whole: Path, tmp_path: Path, kind: str, lm: dict[str, Any]
) -> None:
    settings = {"kind": kind, "lm": lm, "epochs": 2, "beta_prompts": 0, "learning_rate": 0.003}
    path = place(inputs, tmp_path / "it", train=settings)
    for step in ("rollouts", "labels"):
        shutil.copytree(whole.parent / step, tmp_path / "it" / "run" / step)
    value = fit(path)
    config = ValueConfig.load(value)
    assert config.kind == kind
    measured = config.training["held_out"]["low"]
    assert measured["mse"] < 1.1 * measured["mse_constant"]
    assert 0 <= score(inputs, value, 1.0, 1.0) <= 1


def test_a_reward_that_fails_is_named_before_anything_is_sampled(inputs: Path, tmp_path: Path) -> None:
    rewards = {"broken": {"function": "tests.value_models.training.test_run:missing"}}
    path = place(inputs, tmp_path / "it", rewards=rewards)
    result = CliRunner().invoke(app, ["fit", str(path)])
    assert result.exit_code == 1
    assert "reward 'broken'" in result.output and "has no 'missing'" in result.output
    assert not (tmp_path / "it" / "run").exists()


def test_prompts_that_were_changed_since_the_rollouts_are_refused(inputs: Path, whole: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it")
    shutil.copytree(whole.parent / "rollouts", tmp_path / "it" / "run" / "rollouts")
    with (tmp_path / "it" / "prompts.jsonl").open("a") as file:
        file.write('{"prompt": "one more"}\n')
    result = CliRunner().invoke(app, ["label", str(path)])
    assert result.exit_code == 1
    assert "is not what was rolled out" in result.output


def test_another_policy_than_the_one_rolled_out_is_refused(inputs: Path, whole: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it")
    for step in ("rollouts", "labels"):
        shutil.copytree(whole.parent / step, tmp_path / "it" / "run" / step)
    torch.manual_seed(1)
    config = LlamaForCausalLM.from_pretrained(inputs / "policy").config
    LlamaForCausalLM(config).save_pretrained(tmp_path / "it" / "policy")
    result = CliRunner().invoke(app, ["train", str(path)])
    assert result.exit_code == 1
    assert "was made with another policy" in result.output and "fingerprint" in result.output
