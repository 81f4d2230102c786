"""Rounds of kind joint through the command on a tiny policy: killed, resumed, loaded, asked, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError, RunError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.offline import generate
from server.cli.app import app
from tests.forked import Forked
from tests.forked_mavis import mavis
from tests.models import save_byte_llama
from tests.value_models.training.test_iterate import write
from value_models.loading import build_engine
from value_models.rollouts.mixture import Mixture
from value_models.rollouts.shards import read_shard, shard_path
from value_models.training.iterate import runs
from value_models.training.recommended_beta import tune
from value_models.training.run import Run
from value_models.training.run_config import load_config
from value_models.value_config import ValueConfig

JOINT = {"kind": "joint", "rounds": 2, "beta": 4}
SMALL: dict[str, Any] = {
    "iterate": JOINT,
    "train": {"epochs": 3, "held_out": 0.2, "beta_prompts": 2},
    "rollouts": {"shape": {"layers": 2, "max_tokens": 6}, "shard_prompts": 3},
}


def test_rounds_build_on_each_other(tmp_path: Path) -> None:
    first, *later = runs(load_config(write(tmp_path, iterate=JOINT)))
    run = tmp_path / "run"
    assert first.rollouts.mixture is None and first.train.kind == "head" and first.anchor is None
    for number, each in enumerate(later, 1):
        assert each.folder == str(run / f"round-{number}")
        assert each.values == [str(run / f"round-{number - 1}" / "value")]
        assert (each.constants, each.anchor) == (str(run / "round-0" / "labels"), str(run / "round-0"))
        assert each.rollouts.mixture == Mixture(4.0, ["low", "short"])
        assert each.train.learning.weights and each.train.zeta == 0 and each.seed == number
    assert len(later) == 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds on five prompts, done."""
    where = tmp_path_factory.mktemp("whole")
    save_byte_llama(where / "policy")
    (where / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"say {i}"}) + "\n" for i in range(5)))
    result = CliRunner().invoke(app, ["fit", str(write(where, **SMALL))])
    assert result.exit_code == 0, result.output
    return where


def steered(where: Path, beta: float, **weights: float) -> list[str]:
    engine = build_engine(str(where / "policy"), [str(where / "run" / "round-2" / "value")], EngineConfig())
    sampling = [SamplingParams(max_tokens=6, seed=i) for i in range(8)]
    answers = generate(engine, [f"tell {i}" for i in range(8)], sampling, Guidance(weights, beta))
    return [choice.text for (choice,) in answers]


def test_each_rounds_value_is_kept_knows_its_range_and_steers(whole: Path) -> None:
    for number in (1, 2):
        folder = whole / "run" / f"round-{number}"
        config = ValueConfig.load(folder / "value")
        assert config.kind == "conditioned_head"
        assert [o.pull_range for o in config.objectives] == [(0.0, 4.0)] * 2
        assert set(config.training["held_out"]) == {"low", "short", "kl_to_go"}
        assert config.training["rollouts"]["settings"]["mixture"]["beta"] == 4
        assert config.training["anchor"]["rollouts"]["settings"]["weights"] == {}, "trees of the base model too"
        forest = read_shard(shard_path(folder / "rollouts", 0))
        assert len(np.unique(forest.tilt_weights[forest.roots], axis=0)) == len(forest.roots), (
            "weights of its own per tree"
        )
    assert steered(whole, 2.0, low=2.0) != steered(whole, 2.0, short=2.0)
    with pytest.raises(InvalidRequestError, match=r"objective_weights.low: beta \* weight = 6: .* trained for 0 to 4"):
        steered(whole, 2.0, low=3.0)
    with pytest.raises(InvalidRequestError, match=r"objective_weights.short: beta \* weight = -1"):
        steered(whole, 2.0, low=1.0, short=-0.5)


def test_killed_in_a_later_round_it_ends_with_the_same_values(whole: Path, tmp_path: Path) -> None:
    """Of the second round only some trees are there; then it is killed while it trains."""
    other = tmp_path / "other"
    shutil.copytree(whole, other, ignore=shutil.ignore_patterns("training", "value", "report.json"))
    for number in (0, 1):
        for name in ("training", "value"):
            place = Path("run", f"round-{number}", name)
            shutil.copytree(whole / place, other / place)
    shard_path(other / "run" / "round-2" / "rollouts", 1).unlink()
    shutil.rmtree(other / "run" / "round-2" / "labels")
    path = write(other, **SMALL)
    for sign in ("training/log.jsonl",):
        process = Forked(mavis, "fit", str(path))
        deadline = time.monotonic() + 200
        while not (other / "run" / "round-2" / sign).exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (other / "run" / "round-2" / "value").exists()
    result = CliRunner().invoke(app, ["fit", str(path)])
    assert result.exit_code == 0 and result.output.count("is there already") == 2, result.output
    for name in ("value/model.safetensors", "value/config.json", "rollouts/shard-00001.safetensors"):
        ours, theirs = (where / "run" / "round-2" / name for where in (other, whole))
        assert ours.read_bytes() == theirs.read_bytes()


def test_the_recommended_beta_stays_in_the_range(whole: Path) -> None:
    asked: list[float] = []
    beta, spent = tune(lambda beta: asked.append(beta) or 1e-3 * beta, most=0.5)  # type: ignore[func-returns-value]
    assert (beta, spent) == (0.5, 5e-4) and max(asked) == 0.5
    for objective in ValueConfig.load(whole / "run" / "round-2" / "value").objectives:
        assert 0 < objective.recommended_beta <= 4


MIXED = {"shape": {"layers": 2, "max_tokens": 6}, "mixture": {"beta": 2.0, "objectives": ["low", "short"]}}
CONDITIONED = {"kind": "conditioned_head", "epochs": 1, "held_out": 0.2}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"iterate": {**JOINT, "kind": "mixed"}}, "iterate.kind='mixed': must be one of 'independent', 'joint'"),
        ({"iterate": JOINT, "train": {"zeta": 0.1}}, "leave them out"),
        ({"iterate": JOINT, "train": CONDITIONED}, "iterate: sets rollouts.mixture, anchor and kind conditioned_head"),
        ({"iterate": JOINT, "rollouts": MIXED}, "iterate: sets rollouts.mixture"),
        ({"iterate": JOINT, "rewards": {"kl_to_go": {"function": "a:b"}}}, "rewards.kl_to_go: is the name of"),
        ({"iterate": None, "train": CONDITIONED}, "it and rollouts.mixture need each other"),
        ({"iterate": None, "rollouts": MIXED}, "constants: is missing; rollouts.mixture steers"),
        ({"iterate": None, "rollouts": MIXED, "constants": "x"}, "it and rollouts.mixture need each other"),
        (
            {
                "iterate": None,
                "rollouts": {"mixture": {"beta": 2.0, "objectives": ["low"]}},
                "constants": "x",
                "train": CONDITIONED,
            },
            "rollouts.mixture.objectives=.*: must be the rewards",
        ),
        ({"iterate": None, "anchor": "x"}, "anchor: belongs to rollouts.mixture"),
    ],
)
def test_mistakes_are_named_before_anything_runs(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RunError, match=told):
        load_config(write(tmp_path, **changes))


def test_base_trees_by_other_rewards_are_refused(whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    manifest = other / "run" / "round-0" / "labels" / "manifest.json"
    about = json.loads(manifest.read_text())
    about["rewards"]["low"]["function"] = "another:function"
    manifest.write_text(json.dumps(about))
    config = runs(load_config(write(other, **SMALL)))[1]
    shutil.rmtree(Path(config.folder) / "value")
    shutil.rmtree(Path(config.folder) / "training")
    with pytest.raises(RunError, match="was labelled with other rewards than"):
        Run(config, progress=False, say=lambda line: None).train()
    assert not (Path(config.folder) / "value").exists()
