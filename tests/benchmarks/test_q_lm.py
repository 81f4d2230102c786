"""How alike two values see candidates, by hand; the whole benchmark on tiny values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from benchmarks.q_lm import alike, main
from mavis_core.api.config import EngineConfig
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from tests.models import HIDDEN, q_lm_parts, save_byte_llama, tiny_config
from tests.value_models.configs import value_config
from value_models.kinds.lm import save_lm
from value_models.kinds.lm_backbone import build_lm, merged
from value_models.kinds.q_lm import save_q_lm
from value_models.prompts import read_prompts
from value_models.rollouts.roll_out import RolloutConfig, roll_out
from value_models.rollouts.shape import Shape


def test_alike_leaves_out_what_differs_from_place_to_place() -> None:
    lm = torch.tensor([[1.0, 2.0, 4.0], [0.0, 1.0, 3.0]])
    same = alike(lm, lm + torch.tensor([[5.0], [-2.0]]))
    assert same == {"correlation": 1.0, "pairs_ranked_alike": 1.0, "variance_explained": 1.0}
    turned = alike(lm, torch.stack((lm[0], -lm[1])))
    assert turned["correlation"] == 0.0 and turned["pairs_ranked_alike"] == 0.5
    assert alike(lm, lm * 2)["variance_explained"] == pytest.approx(0.0)


def test_speed_and_agreement_of_values_on_disk(tmp_path: Path) -> None:
    save_byte_llama(tmp_path / "policy")
    policy = Policy.load(str(tmp_path / "policy"), torch.device("cpu"), torch.float32)
    config = tiny_config("llama")
    config.vocab_size = policy.vocab_size
    backbone, readout = build_lm(config.to_diff_dict(), 2)
    save_lm(tmp_path / "lm", made(policy, "lm", merged(backbone)[0]), backbone, readout)
    save_q_lm(tmp_path / "q", made(policy, "q_lm", {}), *merged(backbone), q_lm_parts(backbone, 2, 3)[1])
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "say"}\n{"prompt": "tell"}\n')
    prompts, shape = read_prompts(tmp_path / "prompts.jsonl"), RolloutConfig(Shape(layers=1, max_tokens=6))
    roll_out(Engine(policy, [], EngineConfig()), prompts, shape, 0, tmp_path / "rollouts", {}, progress=False)
    app = typer.Typer()
    app.command()(main)
    asked = {"value": "q", "lm": "lm", "model": "policy", "rollouts": "rollouts", "out": "out.json"}
    options = [part for name, place in asked.items() for part in (f"--{name}", str(tmp_path / place))]
    result = CliRunner().invoke(app, [*options, "--rows", "2", "--tokens", "3", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    agreement, speed = found["results"]
    assert set(agreement["agreement"]) == {"a", "b"}
    assert all(-1 <= each["correlation"] <= 1 for each in agreement["agreement"].values())
    assert set(speed["tokens_per_s"]) == {"unguided", "lm", "q_lm"}
    assert found["parameters"]["q_lm"] > found["parameters"]["lm"] > HIDDEN


def made(policy: Policy, kind: str, architecture: dict[str, Any]) -> Any:
    return value_config(policy, "a", "b", kind=kind, architecture=architecture)
