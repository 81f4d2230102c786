"""What a manifest keeps of a reward tells versions of it apart, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.value_models.rewards.test_classifier import model, saved
from value_models.rewards.identity import identities
from value_models.rewards.registry import JudgeConfig, RewardConfig, build


def identity(config: RewardConfig, cache: Path) -> dict[str, Any]:
    configs = {"tone": config}
    return identities(configs, build(configs, cache))["tone"]


def test_a_function_is_what_its_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "rewards_of_this_test.py"
    file.write_text("def tone(prompts, responses):\n    return [0.0] * len(responses)\n")
    config = RewardConfig(function="rewards_of_this_test:tone")
    before = identity(config, tmp_path)
    assert identity(replace(config, description="other words"), tmp_path) == before
    file.write_text("def tone(prompts, responses):\n    return [1.0] * len(responses)\n")
    assert identity(config, tmp_path) != before


def test_a_classifier_is_its_weights_and_how_they_are_read(tmp_path: Path) -> None:
    config = RewardConfig(classifier=saved(tmp_path / "judge", 3), output=1)
    before = identity(config, tmp_path)
    assert identity(config, tmp_path) == before != identity(replace(config, output=2), tmp_path)
    other = model(3)
    for weight in other.parameters():
        weight.data += 0.01
    other.save_pretrained(tmp_path / "judge")
    assert identity(config, tmp_path) != before


def test_a_judge_is_what_it_is_asked_and_not_where(tmp_path: Path) -> None:
    judge = JudgeConfig("http://127.0.0.1:1/v1", "m", "kindness")
    before = identity(RewardConfig(judge=judge), tmp_path)
    elsewhere = replace(judge, url="http://127.0.0.1:2/v1", concurrency=2, timeout=1.0, retries=0)
    assert identity(RewardConfig(judge=elsewhere), tmp_path) == before
    assert identity(RewardConfig(judge=replace(judge, rubric="brevity")), tmp_path) != before


def test_a_reward_that_ships_is_its_name(tmp_path: Path) -> None:
    assert identities({"concise": RewardConfig()}, build({"concise": RewardConfig()}, tmp_path)) == {"concise": {}}
