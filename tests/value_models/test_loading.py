from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.model.quantization import Int8Linear, weight_bytes
from mavis_core.offline import generate
from tests.models import HIDDEN, head_network
from tests.value_models.configs import HEAD, value_config
from value_models.kinds.head import save_head
from value_models.kinds.head_network import HeadNetwork
from value_models.kinds.lm import LmValue
from value_models.loading import SHIPPED_POLICY, FolderLoader, build_engine, load_policy, value_folders


@pytest.fixture
def values(tmp_path: Path, model: Path) -> Path:
    """A folder with two values of one shape and one of another."""
    policy = Policy.load(str(model), torch.device("cpu"), torch.float32)
    save_head(tmp_path / "values" / "x", value_config(policy, "a"), head_network(1, 1))
    save_head(tmp_path / "values" / "y", value_config(policy, "b"), head_network(1, 2))
    wide = {**HEAD, "width": 11}
    save_head(tmp_path / "values" / "z", value_config(policy, "c", architecture=wide), HeadNetwork(1, HIDDEN, 11, 3))
    return tmp_path / "values"


def test_a_folder_of_values_is_all_of_them(values: Path) -> None:
    assert [folder.name for folder in value_folders(str(values))] == ["x", "y", "z"]
    assert value_folders(str(values / "y")) == [values / "y"]


def test_one_value_of_a_folder_of_them(values: Path) -> None:
    assert value_folders(f"{values}#y") == [values / "y"]
    assert value_folders(f"{values / 'y'}#y") == [values / "y"]
    assert [folder.name for folder in value_folders("shipped:heads#concise")] == ["concise"]
    for wrong in ("w", "", "../y", "."):
        with pytest.raises(
            LoadError, match=rf"values#{re.escape(wrong)}: no value '{re.escape(wrong)}' in it.*x, y, z"
        ):
            value_folders(f"{values}#{wrong}")
    (values / "odd#x").mkdir()
    (values / "odd#x" / "config.json").write_text("{}")
    assert value_folders(str(values / "odd#x")) == [values / "odd#x"]
    with pytest.raises(LoadError, match="missing: no such folder"):
        value_folders(f"{values}/missing#x")


def test_a_folder_without_values_is_a_load_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LoadError, match=r"empty: no config.json in it or in its sub-folders"):
        value_folders(str(tmp_path / "empty"))


def test_an_engine_is_built_from_folders_with_progress(model: Path, values: Path) -> None:
    seen: list[tuple[str, float]] = []
    engine = build_engine(str(model), [str(values)], EngineConfig(), lambda stage, done: seen.append((stage, done)))
    assert {o.name for o in engine.info.objectives} == {"a", "b", "c"}
    assert [done for _, done in seen] == sorted(done for _, done in seen)
    assert [stage.split()[0] for stage, _ in seen[:2]] == ["reading", "loading"]
    assert seen[1][0].startswith("loading the policy")
    assert seen[-1] == ("ready", 1.0)
    (answer,) = generate(engine, ["\x05\x07"], SamplingParams(seed=0, max_tokens=3), Guidance({"a": 1.0, "c": -1.0}))
    assert answer[0].guidance is not None
    assert answer[0].guidance.beta == 2.0


def test_two_folders_with_one_objective_collide(model: Path, values: Path) -> None:
    with pytest.raises(LoadError, match="objective 'a' is scored by two values"):
        build_engine(str(model), [str(values), str(values / "x")], EngineConfig())


def test_an_lm_is_loaded_in_few_bits() -> None:
    config = EngineConfig(dtype="float32", device="cpu", quantization="int8")
    policy = load_policy(str(SHIPPED_POLICY), config)
    (whole,), (narrow,) = (FolderLoader(policy, kind).load("shipped:lm") for kind in (None, "int8"))
    assert isinstance(whole, LmValue) and isinstance(narrow, LmValue)
    assert weight_bytes(narrow.model.base.layers) < 0.3 * weight_bytes(whole.model.base.layers)
    assert any(isinstance(layer, Int8Linear) for layer in policy.model.modules())
    hidden = torch.zeros(policy.readout.weight.shape[1])
    with torch.inference_mode():
        exact, found = (value.reference([5, 90, 17, 300], [7, 40, 120], hidden) for value in (whole, narrow))
    assert 0 < float((exact - found).abs().max()) < 0.05, "z-units"
    engine = Engine(policy, [narrow], EngineConfig(kv_cache_tokens=64))
    name = narrow.spec.objectives[0].name
    ((answer,),) = generate(engine, [[5, 90]], SamplingParams(max_tokens=3, ignore_eos=True), Guidance({name: 1.0}))
    assert len(answer.token_ids) == 3
