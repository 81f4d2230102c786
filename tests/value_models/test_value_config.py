from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mavis_core.api.errors import LoadError
from tests.models import tiny_policy
from tests.value_models.configs import value_config
from value_models.value_config import ValueConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    value_config(tiny_policy("llama"), "a", "b").save(tmp_path)
    return tmp_path


def test_what_is_saved_is_loaded(folder: Path) -> None:
    assert ValueConfig.load(folder) == value_config(tiny_policy("llama"), "a", "b")


def test_optional_keys_have_defaults(folder: Path) -> None:
    data = json.loads((folder / "config.json").read_text())
    del data["training"], data["objectives"][1]["weight_range"]
    (folder / "config.json").write_text(json.dumps(data))
    loaded = ValueConfig.load(folder)
    assert loaded.training == {}
    assert [o.weight_range for o in loaded.objectives] == [(-3, 5), (-16, 16)]


def put(*path: str | int, value: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


def drop(*path: str | int) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("colour", value=1), "config.json: colour: unknown key; known: kind, objectives, policy"),
        (put("policy", "size", value=1), "config.json: policy.size: unknown key"),
        (put("objectives", 1, "beta", value=1), r"config.json: objectives\[1\].beta: unknown key"),
        (drop("kind"), "config.json: kind: is missing"),
        (drop("policy", "fingerprint"), "config.json: policy.fingerprint: is missing"),
        (drop("objectives", 0, "reward_std"), r"config.json: objectives\[0\].reward_std: is missing"),
        (drop("format"), "config.json: format=None: must be 1; is this the folder of a value"),
        (put("format", value=2), "config.json: format=2: must be 1"),
        (put("objectives", value=[]), "config.json: objectives: must be a list of at least one"),
        (put("objectives", value=3), "config.json: objectives: must be a list"),
        (put("objectives", value={"a": 1}), "config.json: objectives: must be a list"),
        (put("objectives", 0, value="a"), r"config.json: objectives\[0\]: must be a mapping of settings, got 'a'"),
        (put("policy", value=None), "config.json: policy: must be a mapping of settings, got None"),
        (put("architecture", value=[]), r"config.json: architecture: must be a mapping from names, got \[\]"),
        (put("objectives", 0, "name", value=""), r"config.json: objectives\[0\]: name=''"),
        (put("objectives", 0, "name", value=7), r"config.json: objectives\[0\].name=7: must be of type str"),
        (put("objectives", 1, "name", value="a"), "config.json: objectives: 'a' twice"),
        (put("objectives", 0, "reward_std", value=0), r"config.json: objectives\[0\]: reward_std=0: must be above 0"),
        (
            put("objectives", 0, "reward_std", value="1"),
            r"config.json: objectives\[0\].reward_std='1': must be of type",
        ),
        (put("objectives", 0, "reward_mean", value=None), r"config.json: objectives\[0\].reward_mean=None: must be"),
        (put("objectives", 0, "reward_mean", value=math.nan), r"config.json: objectives\[0\].reward_mean=nan: must be"),
        (
            put("objectives", 0, "reward_mean", value=math.inf),
            r"config.json: objectives\[0\]: reward_mean=inf: must be",
        ),
        (
            put("objectives", 0, "recommended_beta", value=65),
            r"config.json: objectives\[0\]: recommended_beta=65: must be 0 to 64",
        ),
        (
            put("objectives", 0, "weight_range", value=[1]),
            r"config.json: objectives\[0\].weight_range=\[1\]: must be a",
        ),
        (
            put("objectives", 0, "weight_range", value=[2, 1]),
            r"config.json: objectives\[0\]: weight_range=\[2, 1\]: must",
        ),
        (put("objectives", 0, "weight_range", value=["a", 1]), r"config.json: objectives\[0\].weight_range\[0\]='a'"),
        (put("objectives", 0, "weight_range", value={"a": 1}), r"config.json: objectives\[0\].weight_range: must be a"),
        (put("objectives", 0, "pull_range", value=[0, math.inf]), r"config.json: objectives\[0\]: pull_range="),
    ],
)
def test_a_wrong_config_is_a_load_error_that_names_the_key(
    folder: Path, change: Callable[[Any], None], message: str
) -> None:
    data = json.loads((folder / "config.json").read_text())
    change(data)
    (folder / "config.json").write_text(json.dumps(data))
    with pytest.raises(LoadError, match=message) as caught:
        ValueConfig.load(folder)
    assert str(caught.value).startswith(str(folder / "config.json"))


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "\udc80"])
def test_what_is_no_config_is_a_load_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(LoadError, match=r"config\.json"):
        ValueConfig.load(tmp_path)


def test_a_folder_without_a_config_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"config\.json"):
        ValueConfig.load(tmp_path)
