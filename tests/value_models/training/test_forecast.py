"""The forecast: arithmetic by hand, and on a run that is half done."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.engine import Engine
from tests.models import HIDDEN, tiny_policy
from tests.value_models.training import test_run
from tests.value_models.training.test_run import place
from value_models.rollouts.shape import Shape
from value_models.rollouts.shards import read_shard, shard_path
from value_models.training import forecast as forecasting
from value_models.training.forecast import Work, duration, forecast, tree_size
from value_models.training.run import Run
from value_models.training.run_config import load_config
from value_models.training.sittings import peak_memory
from value_models.training.train_config import TrainConfig
from value_models.training.trial import Learned, Sampled

inputs = test_run.inputs


def test_a_tree_that_nothing_ends_early() -> None:
    tokens, responses = tree_size(Shape())
    assert responses == 64
    assert tokens == pytest.approx((4 + 8 + 16 + 32 + 64) * 128 / 5)
    assert tree_size(Shape(kind="flat", samples=3, max_tokens=10)) == (30, 3)


def test_minutes_and_gigabytes_add_up() -> None:
    engine = Engine(tiny_policy("llama"), [], EngineConfig())
    sampled = Sampled(np.zeros(0), 64, 400.0)  # type: ignore[arg-type]
    learned = Learned(first=1e-4, again=1e-5, tokens=3000, parameters=1_000_000)
    work = Work(1000, 900, 1000, 3000, 64, True, 20, 10, 100, 128, 2)
    found = forecast(work, sampled, 1e-3, learned, TrainConfig(), engine, ["polite"])
    told = "\n".join(found.lines)
    assert found.record["seconds"] == {"rollouts": 6750.0, "labels": 64.0, "training": 573.8, "beta": 192.0}
    assert "rollouts  up to 1.9 h: 900 prompts of up to 3,000 tokens, 400 tokens/s in 64 rows" in told
    assert "labels    up to 64 s: 64,000 responses; and the time that as many questions take each of polite" in told
    assert "training  up to 10 min: 10 epochs" in told  # 3,020,000 tokens, once at 1e-4 and nine times at 1e-5
    assert "beta      up to 3 min" in told  # 100 answers of 128 tokens, six times
    assert "in all    up to 2.1 h, 0.071 GB of disk" in told
    known = Work(1000, 0, 0, 3000, 64, False, 20, 0, 100, 128, 2)
    told = "\n".join(forecast(known, sampled, 0.0, learned, TrainConfig(), engine, []).lines)
    assert "rollouts  about 0 s: 0 prompts" in told and "training  up to 0 s" in told


def test_states_that_are_not_kept_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of them: every later epoch reads the others as the first did."""
    engine = Engine(tiny_policy("llama"), [], EngineConfig())
    sampled = Sampled(np.zeros(0), 64, 400.0)  # type: ignore[arg-type]
    learned = Learned(first=1e-4, again=1e-5, tokens=3000, parameters=1_000_000)
    work = Work(1000, 900, 1000, 3000, 64, True, 20, 10, 100, 128, 2)
    states = 1000 * 3000 * HIDDEN * 4
    monkeypatch.setattr(forecasting, "STATES_KEPT", states / 4)
    config = TrainConfig()
    found = forecast(work, sampled, 0.0, learned, config, engine, [])
    assert found.seconds["training"] == pytest.approx(3_020_000 * (1e-4 + 9 * (0.25 * 1e-5 + 0.75 * 1e-4)))
    assert found.memory_gb < states / 4 / 1e9 + engine.info.kv_cache_bytes / 1e9 + peak_memory() / 1e9 + 0.01


@pytest.mark.parametrize(("seconds", "told"), [(3.2, "3 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_it_is_told_before_anything_is_sampled_and_of_what_is_left_after_a_resume(inputs: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it", train={"beta_prompts": 0, "epochs": 1})
    rollouts = tmp_path / "it" / "run" / "rollouts"
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "Forecast" in line:
            assert not list(rollouts.glob("shard-*")) or len(said) > 3

    run = Run(load_config(path), progress=False, say=say)
    run.fit()
    first = next(line for line in said if "Forecast" in line)
    assert re.search(r"rollouts  up to .*: 80 prompts of up to 70 tokens, [\d,]+ tokens/s in 30 rows", first)
    assert re.search(r"labels    up to .*: 960 responses\n  training  up to .*: 1 epochs", first)
    assert said[-1].splitlines()[-1] == run.serve_line

    shutil.rmtree(run.value_folder)
    for index in (1, 3):
        shard_path(rollouts, index).unlink()
        shard_path(run.labels_folder, index).unlink()
    said.clear()
    Run(load_config(path), progress=False, say=said.append).roll_out(whole=True)
    (again,) = [line for line in said if "Forecast" in line]
    shard = read_shard(shard_path(rollouts, 0)), read_shard(shard_path(rollouts, 2))
    tokens = sum(each.sampled for each in shard) / 40
    assert f"40 prompts of about {tokens:.0f} tokens" in again
    assert "training  up to 0 s: 0 epochs" in again
