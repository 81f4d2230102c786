"""The example of a reward of one's own, at a size that a test can afford, on the model that ships."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from server.cli.app import app
from value_models.value_config import ValueConfig

EXAMPLE = Path("examples/train")


def test_the_example_makes_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fit.yaml", "rewards.py", "prompts.jsonl"):
        shutil.copy(EXAMPLE / name, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # so that what the command adds to the path goes away with it
    settings = yaml.safe_load((tmp_path / "fit.yaml").read_text())
    settings |= {"count": 14}
    settings["rollouts"] = {"shape": {"layers": 3, "max_tokens": 14}, "shard_prompts": 14}
    settings["train"] |= {"epochs": 3, "batch_trees": 2, "beta_prompts": 1}
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    result = CliRunner().invoke(app, ["fit", str(tmp_path / "fit.yaml")])
    assert result.exit_code == 0, result.output
    config = ValueConfig.load(tmp_path / "run" / "value")
    assert [objective.name for objective in config.objectives] == ["personal", "concise"]
    assert config.objectives[0].description.startswith("Speaks of itself")
    assert 0 < config.training["held_out"]["concise"]["ranking"] <= 1
    assert json.loads((tmp_path / "run" / "report.json").read_text())["rollouts"]["tokens_sampled"] > 500
