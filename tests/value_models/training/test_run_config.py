"""A run's YAML: every mistake is one error that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mavis_core.api.errors import RunError
from value_models.training.run_config import RunConfig, load_config

GOOD: dict[str, Any] = {"folder": "run", "prompts": "p.jsonl", "rewards": {"concise": None}}


def load(folder: Path, **changes: Any) -> RunConfig:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return load_config(path)


def test_defaults_and_nested_settings(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    found = load(
        tmp_path,
        policy="policy",
        rollouts={"shape": {"max_tokens": 7}, "top_k": 5},
        train={"kind": "lm", "learning_rate": 1, "lm": {"backbone": "policy", "lora_rank": 4}},
        engine={"max_num_seqs": 3},
    )
    assert (found.folder, found.prompts) == (str(tmp_path / "run"), str(tmp_path / "p.jsonl"))
    assert found.policy == str(tmp_path / "policy")
    assert (found.rollouts.shape.max_tokens, found.rollouts.shape.layers, found.rollouts.top_k) == (7, 5, 5)
    assert (found.train.lm.lora_rank, found.train.learning_rate, found.engine.max_num_seqs) == (4, 1.0, 3)
    assert found.rewards["concise"].function is None


@pytest.mark.parametrize(("written", "meant"), [("1e-4", 1e-4), ("2E3", 2000.0), ("+1e+0", 1.0)])
def test_numbers_that_yaml_reads_as_text(tmp_path: Path, written: str, meant: float) -> None:
    assert load(tmp_path, train={"learning_rate": written}).train.learning_rate == meant


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"promts": "x"}, "promts: unknown key; did you mean 'prompts'?"),
        ({"rollouts": {"shape": {"layer": 3}}}, "rollouts.shape.layer: unknown key; did you mean 'layers'?"),
        ({"rollouts": {"shape": {"layers": "3"}}}, "rollouts.shape.layers='3': must be of type int"),
        ({"rollouts": {"shape": {"layers": 0}}}, "rollouts.shape.layers=0: must be 1 to 16"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate='fast': must be of type float"),
        ({"train": {"epochs": True}}, "train.epochs=True: must be of type int"),
        ({"train": {"kind": "tree"}}, "train.kind='tree': must be one of head, conditioned_head, lm"),
        ({"train": {"zeta": -1}}, "train.zeta=-1.0: must be at least 0"),
        ({"train": {"zeta": 0.1}, "rewards": {"concise": {}, "curious": {}}}, "train.zeta: prices one objective's"),
        ({"train": {"lm": {"lora_rank": 8}}}, "train.lm.lora_rank=8: must be at least 0, and 0 for a fresh backbone"),
        ({"rewards": {}}, "rewards: must name at least one objective"),
        ({"rewards": {"a": {"judge": {"url": "u", "model": "m"}}}}, "rewards.a.judge.rubric: is missing"),
        ({"rewards": {"a": {"output": 1.5}}}, "rewards.a.output=1.5: must be of type int or str"),
        ({"engine": {"dtype": "int8"}}, "engine.dtype='int8'"),
        ({"values": "v"}, "values: must be a list, got 'v'"),
        ({"rollouts": {"weights": {"a": 1}}}, "constants: is missing"),
        ({"prompts": {"from_policy": 1}}, "prompts.from_policy=1: must be at least 2"),
        ({"prompts": {"from_model": 9}}, "prompts.from_model: unknown key; did you mean 'from_policy'?"),
        ({"prompts": {"from_policy": 9}, "count": 5}, "count: prompts.from_policy says how many"),
        ({"prompts": 7}, "prompts=7: must be of type str or mapping"),
        ({"rollouts": None}, "rollouts: must be a mapping of settings, got None"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError) as caught:
        load(tmp_path, **changes)
    assert str(tmp_path / "run.yaml") in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_is_no_mapping_or_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    for text, message in (
        ("- 1", "the file: must be a mapping"),
        ("a: [", "run.yaml, line 1: not YAML: expected"),
        ("seed: 1\nfolder: a\nseed: 2", "run.yaml, line 3: seed: stands twice"),
    ):
        path.write_text(text)
        with pytest.raises(RunError, match=message):
            load_config(path)
    with pytest.raises(RunError, match="No such file"):
        load_config(tmp_path / "absent.yaml")
