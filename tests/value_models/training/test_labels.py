"""Labels beside shards: every leaf once, resumed after a kill, refused where they do not fit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mavis_core.api.errors import RewardError, RunError
from tests.models import byte_tokenizer
from tests.value_models.rollouts.test_roll_out import PROMPTS, contents, make
from value_models.prompts import Prompt
from value_models.rewards.registry import RewardConfig, build
from value_models.rollouts.shards import shard_path
from value_models.training import labels as labelling
from value_models.training.labels import label, measure, read_all, read_constants

CONFIGS = {"odd": RewardConfig(function="tests.value_models.training.test_labels:odd"), "concise": RewardConfig()}


def odd(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[int]:
    """Share of bytes that are odd, and something of the prompt."""
    return [sum(b % 2 for b in r.encode()) + len(p.text) % 3 for p, r in zip(prompts, responses, strict=True)]


def sometimes(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
    """Fails on the tenth prompt."""
    if PROMPTS[9] in prompts:
        raise OSError("the disk is on fire")
    return [float(len(r)) for r in responses]


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollouts")
    make(folder)
    return folder


def run(rollouts: Path, folder: Path, configs: dict[str, RewardConfig] = CONFIGS) -> int:
    rewards = build(configs, folder)
    return label(rollouts, PROMPTS, byte_tokenizer(), rewards, configs, folder, progress=False)


def test_every_leaf_gets_every_reward(rollouts: Path, tmp_path: Path) -> None:
    assert run(rollouts, tmp_path) == 8
    forest, rewards = read_all(rollouts, tmp_path)
    assert rewards.shape == (len(forest.leaves), 2)
    texts = forest.texts(byte_tokenizer())
    prompts = [PROMPTS[i] for i in forest.prompt[forest.leaves].tolist()]
    assert rewards[:, 0].tolist() == odd(prompts, texts)
    assert rewards[:, 1] == pytest.approx([-len(text.split()) / 20 for text in texts])
    found = read_constants(tmp_path, list(CONFIGS))
    again = measure(list(CONFIGS), forest, rewards)
    assert np.array_equal(found.mean, again.mean) and np.array_equal(found.std, again.std)


def test_what_is_labelled_is_not_labelled_again(rollouts: Path, tmp_path: Path) -> None:
    run(rollouts, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    for index in (2, 5):
        shard_path(tmp_path / "part", index).unlink()
    (tmp_path / "part" / "normalisation.json").unlink()
    assert run(rollouts, tmp_path / "part") == 2
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_a_long_shard_is_scored_in_pieces_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "AT_ONCE", 2)
    rewards = build(CONFIGS, Path("unused"))
    told: list[float] = []
    texts = ["a", "bb", "c d", "", "e"]
    found = [labelling._of_texts(reward, PROMPTS[:5], texts, told.append) for reward in rewards]
    assert told == pytest.approx([0.4, 0.4, 0.2] * 2)
    assert found[0] == odd(PROMPTS[:5], texts)
    assert found[1] == pytest.approx([-0.05, -0.05, -0.1, 0, -0.05])


def test_a_reward_that_fails_late_keeps_what_was_done(rollouts: Path, tmp_path: Path) -> None:
    configs = {"moody": RewardConfig(function="tests.value_models.training.test_labels:sometimes")}
    with pytest.raises(RewardError, match="reward 'moody': raised OSError: the disk is on fire"):
        run(rollouts, tmp_path, configs)
    assert [shard_path(tmp_path, i).exists() for i in range(5)] == [True, True, True, False, False]
    with pytest.raises(RunError, match="00003"):
        read_all(rollouts, tmp_path)


def test_other_rewards_or_other_rollouts_are_refused(rollouts: Path, tmp_path: Path) -> None:
    run(rollouts, tmp_path / "labels")
    with pytest.raises(RunError, match=r"begun with other settings .*rewards"):
        run(rollouts, tmp_path / "labels", {"concise": RewardConfig()})
    make(tmp_path / "other", seed=6)
    with pytest.raises(RunError, match=r"begun with other settings .*rollouts"):
        run(tmp_path / "other", tmp_path / "labels")
    shutil.copy(shard_path(tmp_path / "other", 0), shard_path(tmp_path / "labels", 0))
    with pytest.raises(RunError, match=r"shard-00000\.safetensors: has .* not \['rewards'\]"):
        read_all(rollouts, tmp_path / "labels")
    with pytest.raises(RunError, match="has labels of odd, concise, not of concise, kind"):
        read_constants(tmp_path / "labels", ["concise", "kind"])
    both, one = (read_constants(tmp_path / "labels", names) for names in (["odd", "concise"], ["concise"]))
    assert (one.mean, one.std) == (both.mean[1:], both.std[1:])
