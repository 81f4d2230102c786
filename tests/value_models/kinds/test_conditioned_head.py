"""A head that takes the weights into account: its equation, its folder, and rows of different weights in one batch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from tests.models import HIDDEN, RANK, WIDTH, head_value, lm_value, tiny_policy
from tests.value_models.configs import value_config
from value_models.folders import load_value
from value_models.kinds.conditioned_head import ConditionedHeadNetwork, ConditionedHeadValue
from value_models.kinds.head import save_head
from value_models.kinds.head_network import unit_rms

PULLS = [(0.5, 2.0), (-1.0, 0.25), (3.0, 0.0)]


def network() -> ConditionedHeadNetwork:
    torch.manual_seed(4)
    made = ConditionedHeadNetwork(2, HIDDEN, WIDTH, RANK)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.3)
    made.largest.copy_(torch.tensor([4.0, 2.0]))
    return made


def save(folder: Path, **changes: Any) -> Path:
    config = value_config(tiny_policy("llama"), "a", "b", kind="conditioned_head")
    objectives = tuple(dataclasses.replace(o, pull_range=(-4.0, 4.0)) for o in config.objectives)
    save_head(folder / "joint", dataclasses.replace(config, **{"objectives": objectives, **changes}), network())
    return folder / "joint"


@pytest.fixture
def value(tmp_path: Path) -> ConditionedHeadValue:
    found = load_value(save(tmp_path), tiny_policy("llama"))
    assert isinstance(found, ConditionedHeadValue)
    return found


@torch.inference_mode()
def test_without_conditioning_it_is_a_head_of_one_objective_more() -> None:
    made, hidden, tilt_weights = network(), torch.randn(5, HIDDEN), torch.randn(5, 2)
    table = made.head.read_tokens(unit_rms(tiny_policy("llama").readout.weight))[torch.randint(0, 61, (5, 7))]
    assert made(hidden, tilt_weights, table).shape == (5, 7, 3)
    torch.testing.assert_close(made(hidden, 0 * tilt_weights, table), made.head(hidden, table))
    assert (made(hidden, tilt_weights, table) - made.head(hidden, table)).abs().amax() > 0.1
    scaled = network()
    scaled.largest.copy_(made.largest * 2)
    torch.testing.assert_close(scaled(hidden, 2 * tilt_weights, table), made(hidden, tilt_weights, table))


def test_batched_equals_the_reference_and_values_of_others_stay(value: ConditionedHeadValue) -> None:
    policy = tiny_policy("llama")
    others = [head_value(policy, "c"), lm_value("llama", "d")]
    engine = Engine(policy, [*others, value], EngineConfig())
    asked = [Guidance({"a": a, "b": b}, 1.0, 11) for a, b in PULLS]
    asked += [Guidance({"c": 1.0, "d": -1.0}, 1.5, 11), Guidance()]
    prompts = [[5, 6, 7 + i] for i in range(len(asked))]
    samplings = [SamplingParams(max_tokens=6, seed=i) for i in range(len(asked))]
    found = generate(engine, prompts, samplings, asked)
    for (choice,), prompt, sampling, steer in zip(found, prompts, samplings, asked, strict=True):
        expected = reference_generate(policy, [*others, value], prompt, sampling, steer, steer.beta or 0.0)
        assert choice.token_ids == expected.tokens
        if choice.guidance is not None:
            assert choice.guidance.steering_nats == pytest.approx(sum(expected.steering), abs=1e-3)


def test_the_engine_says_what_it_accepts(value: ConditionedHeadValue) -> None:
    info = Engine(tiny_policy("llama"), [value], EngineConfig()).info
    assert [(o.kind, o.pull_range) for o in info.objectives] == [("conditioned_head", (-4.0, 4.0))] * 2


def test_a_pull_range_belongs_to_this_kind_alone(tmp_path: Path) -> None:
    config = json.loads((save(tmp_path) / "config.json").read_text())
    path = tmp_path / "joint" / "config.json"
    del config["objectives"][1]["pull_range"]
    path.write_text(json.dumps(config))
    with pytest.raises(LoadError, match="b: pull_range: belongs to kind conditioned_head"):
        load_value(tmp_path / "joint", tiny_policy("llama"))
    config["objectives"][1]["pull_range"] = [2, 1]
    path.write_text(json.dumps(config))
    with pytest.raises(LoadError, match=r"pull_range=\[2, 1\]: must be \[lowest, highest\]"):
        load_value(tmp_path / "joint", tiny_policy("llama"))
    path.write_text(json.dumps({**config, "kind": "head"}).replace("[2, 1]", "[1, 2]"))
    with pytest.raises(LoadError, match="pull_range: belongs to kind conditioned_head"):
        load_value(tmp_path / "joint", tiny_policy("llama"))
