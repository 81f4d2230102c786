"""Shards: repeatable to the byte, resumed after a kill, refused where something else was begun or broke."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RunError
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from tests.forked import Forked
from tests.models import byte_tokenizer, objective, tiny_config
from tests.table import TokenValue
from value_models.prompts import Prompt, read_prompts
from value_models.rollouts import roll_out as rolling
from value_models.rollouts.forest import Forest
from value_models.rollouts.roll_out import RolloutConfig, roll_out
from value_models.rollouts.shape import Shape
from value_models.rollouts.shards import read_shard, shard_path

TEXTS = ("one", "two", "three and", "4", "five", "six", "7", "eight")
PROMPTS = [Prompt(f"{text} {i}") for i in range(3) for text in TEXTS][:23]
CONFIG = RolloutConfig(Shape(max_tokens=12, layers=3, root_children=2), shard_prompts=3)


def engine() -> Engine:
    """A tiny random Llama over bytes."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    config = tiny_config("llama")
    config.vocab_size, config.eos_token_id = 257, 256
    value = TokenValue([objective("a")], torch.linspace(-1, 1, 257)[:, None])
    policy = Policy(LlamaForCausalLM(config).eval(), byte_tokenizer(), "tiny")
    return Engine(policy, [value], EngineConfig(max_num_seqs=16))


class Recorded:
    """In place of a bar."""

    def __init__(self, total: float, unit: str, what: str, shown: bool, done: float) -> None:
        self.total, self.done = total, done
        self.steps: list[float] = []

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def update(self, share: float) -> None:
        self.steps.append(share)


def make(folder: Path, config: RolloutConfig = CONFIG, seed: int = 5, prompts: list[Prompt] = PROMPTS) -> int:
    return roll_out(engine(), prompts, config, seed, folder, {"file": "p.jsonl"}, progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert make(folder) == 8
    return folder


def test_shards_hold_every_prompt_once(whole: Path) -> None:
    shards = [read_shard(shard_path(whole, i)) for i in range(8)]
    assert np.concatenate([shard.prompt[shard.roots] for shard in shards]).tolist() == list(range(23))
    assert json.loads((whole / "manifest.json").read_text())["shards"] == 8
    texts = shards[0].texts(byte_tokenizer())
    assert len(texts) == len(shards[0].leaves)
    assert all("<eos>" not in text for text in texts)


def test_the_same_command_makes_the_same_bytes_and_nothing_twice(whole: Path, tmp_path: Path) -> None:
    make(tmp_path)
    assert contents(tmp_path) == contents(whole)
    assert make(tmp_path) == 0


def test_another_run_in_the_same_folder_is_refused(whole: Path) -> None:
    with pytest.raises(RunError, match=r"begun with other settings .*seed: 5 there, 6 now"):
        make(whole, seed=6)
    with pytest.raises(RunError, match="prompts: 23 there, 7 now"):
        make(whole, prompts=PROMPTS[:7])


def test_a_killed_run_resumes_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """SIGKILL as soon as the first shard is there, with the next under way and an unfinished one lying about."""
    process = Forked(make, tmp_path)
    deadline = time.monotonic() + 100
    while not shard_path(tmp_path, 0).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (tmp_path / "shard-00007.safetensors.unfinished").write_bytes(b"half a shard")
    assert 0 < make(tmp_path) < 8
    assert contents(tmp_path) == contents(whole)


def test_progress_moves_within_a_shard_and_starts_where_an_earlier_run_stopped(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Recorded] = []

    def recorded(*args: Any) -> Recorded:
        bars.append(Recorded(*args))
        return bars[-1]

    monkeypatch.setattr(rolling, "progress_bar", recorded)
    shutil.copytree(whole, tmp_path / "it")
    shard_path(tmp_path / "it", 2).unlink()
    shard_path(tmp_path / "it", 7).unlink()
    assert make(tmp_path / "it") == 2
    (bar,) = bars
    assert (bar.total, bar.done) == (23, 18), "shards of 3, the last of 2"
    assert sum(bar.steps) == pytest.approx(5)
    assert len(bar.steps) > 40 and max(bar.steps) < 2
    assert contents(tmp_path / "it") == contents(whole)


def test_everything_is_announced_when_it_is_checked_and_nothing_is_sampled(whole: Path, tmp_path: Path) -> None:
    told: list[int] = []

    def announce(encoded: Sequence[list[int]]) -> None:
        assert not list(tmp_path.glob("shard-*"))
        told.append(len(encoded))

    with pytest.raises(RunError, match="leave room"):
        roll_out(engine(), [Prompt("x" * 117)], CONFIG, 5, tmp_path, {}, False, announce)
    assert not told
    roll_out(engine(), PROMPTS[:2], CONFIG, 5, tmp_path, {}, False, announce)
    assert told == [2]


def test_a_truncated_shard_is_named(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "shard.safetensors"
    path.write_bytes(shard_path(whole, 0).read_bytes()[:-100])
    with pytest.raises(RunError, match=r"shard\.safetensors: .*remove it and run the same command again"):
        read_shard(path)


def test_a_prompt_that_does_not_fit_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"prompt 1 \('xxx.*has 117 tokens: 1 to 116 leave room for 12 more"):
        make(tmp_path, prompts=[PROMPTS[0], Prompt("x" * 117)])
    assert contents(tmp_path) == {}


def test_steered_rollouts_are_drawn_from_another_distribution(whole: Path, tmp_path: Path) -> None:
    make(tmp_path, RolloutConfig(CONFIG.shape, shard_prompts=3, weights={"a": 2.0}, beta=4.0))
    steered, base = read_shard(shard_path(tmp_path, 0)), read_shard(shard_path(whole, 0))

    def mean(forest: Forest) -> float:
        return float(np.concatenate([forest.response(leaf) for leaf in forest.leaves.tolist()]).mean())

    assert mean(steered) > mean(base) + 20
    drawn = steered.policy_logprobs != 0
    assert (steered.policy_logprobs - steered.base_logprobs)[drawn].mean() > 0.1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ('{"text": "x"}', "line 2: must be"),
        ('{"messages": []}', "line 2: must be"),
        ('{"messages": [{"role": "user"}]}', "line 2: must be"),
    ],
)
def test_a_bad_prompt_file_is_refused_by_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "fine"}\n' + line + "\n")
    assert read_prompts(path, 1) == [Prompt("fine")]
    with pytest.raises(RunError, match=message):
        read_prompts(path)
    path.write_text('{"prompt": "fine"}\n')
    with pytest.raises(RunError, match="has 1 prompts, 3 are asked for"):
        read_prompts(path, 3)
