"""From nothing but a model and an instruction to a head that is served: one command, resumed where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import LlamaForCausalLM
from typer.testing import CliRunner

from mavis_core.api.config import EngineConfig
from server.cli.app import app
from tests.models import save_byte_llama
from value_models.loading import build_engine
from value_models.prompts import read_prompts
from value_models.rollouts import user_turns
from value_models.rollouts.question_filter import QuestionFilter
from value_models.training import distill
from value_models.training.run_config import load_config
from value_models.value_config import ValueConfig

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<eos>{% endfor %}[assistant]"


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random Llama over bytes with a chat template; whatever ends is a prompt."""

    def judge(self: QuestionFilter, text: str | None) -> str | None:
        if text is None or text in self.kept:
            return "not ended"
        self.kept.append(text)
        return None

    monkeypatch.setattr(QuestionFilter, "judge", judge)
    monkeypatch.setattr(user_turns, "LONGEST", 40)
    monkeypatch.setattr(user_turns, "BATCH", 32)
    save_byte_llama(tmp_path / "policy")
    model = LlamaForCausalLM.from_pretrained(tmp_path / "policy")
    model.lm_head.weight.data[256] *= 4  # it ends a text more often than once in 257 tokens
    model.save_pretrained(tmp_path / "policy")
    file = tmp_path / "policy" / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": TEMPLATE}))
    return tmp_path / "policy"


def arguments(policy: Path, out: Path) -> list[str]:
    return [
        *("fit", "--policy", str(policy), "--objective", "cheerful=Be cheerful.", "--objective", "grim = Be grim."),
        *("--prompts", "24", "--out", str(out)),
    ]


def smaller(path: Path) -> None:
    """The run's file with settings that a test can afford."""
    settings = yaml.safe_load(path.read_text())
    settings["rollouts"] = {"shape": {"layers": 2, "root_children": 2, "max_tokens": 8}, "shard_prompts": 12}
    settings["train"] = {"epochs": 2, "batch_trees": 4, "beta_prompts": 1}
    path.write_text(yaml.safe_dump(settings, sort_keys=False))


def test_one_command_writes_the_file_it_stands_for_and_its_run_ends_in_a_value(policy: Path, tmp_path: Path) -> None:
    out, runner = tmp_path / "out", CliRunner()
    broken = [text if text != "cheerful=Be cheerful." else "cheerful" for text in arguments(policy, out)]
    result = runner.invoke(app, broken)
    assert result.exit_code == 1 and "--objective 'cheerful': must be NAME=INSTRUCTION" in result.output
    assert not out.exists()

    from value_models.training.in_words import write_run

    path = write_run(str(policy), ["cheerful=Be cheerful.", "grim = Be grim."], 24, out)
    written: dict[str, Any] = yaml.safe_load(path.read_text())
    assert written == {
        "folder": ".",
        "policy": str(policy),
        "prompts": {"from_policy": 24},
        "rewards": {"cheerful": {"words": "Be cheerful."}, "grim": {"words": "Be grim."}},
        "rollouts": {"shape": {"layers": 3, "max_tokens": 96}},
        "train": {"batch_trees": 2},
        "engine": {"max_num_seqs": 64},
    }
    assert load_config(path).prompts_file == out / "prompts.jsonl"
    smaller(path)
    result = runner.invoke(app, arguments(policy, out))
    assert result.exit_code == 1 and "says something else" in result.output
    result = runner.invoke(app, ["fit", str(path)])
    assert result.exit_code == 0, result.output
    assert "user turns: 100%" in result.stderr and "mavis serve --model" in result.stdout.splitlines()[-1]
    assert len(read_prompts(out / "prompts.jsonl")) == 24
    config = ValueConfig.load(out / "value")
    assert [(o.name, o.description) for o in config.objectives] == [
        ("cheerful", "Be cheerful."),
        ("grim", "Be grim."),
    ]
    assert config.training["rewards"]["grim"]["words"] == "Be grim."
    report = json.loads((out / "report.json").read_text())
    assert set(report) == {"prompts", "rollouts", "labels", "training"}
    assert set(report["rollouts"]["forecast"]["seconds"]) == {"rollouts", "labels", "training", "beta"}
    assert build_engine(str(policy), [str(out / "value")], EngineConfig()).info.objectives[1].name == "grim"
    taught = distill.load_config(out / "distill.yaml")
    assert taught.words == {"cheerful": "Be cheerful.", "grim": "Be grim."} and taught.policy == str(policy)
    assert (taught.places, taught.candidates, taught.train.batch_trees) == (48, 24, 2)
    assert (taught.folder, taught.rollouts) == (str(out / "distilled"), str(out / "rollouts"))
    again = runner.invoke(app, ["fit", str(path)])
    assert again.exit_code == 0 and json.loads((out / "report.json").read_text()) == report


def test_rollouts_alone_write_their_prompts_first(policy: Path, tmp_path: Path) -> None:
    settings = {
        "folder": "out", "policy": str(policy), "prompts": {"from_policy": 3}, "rewards": {"concise": None},
        "rollouts": {"shape": {"kind": "flat", "samples": 2, "max_tokens": 4}},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    result = CliRunner().invoke(app, ["rollouts", str(tmp_path / "run.yaml")])
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "out" / "rollouts" / "manifest.json").read_text())
    assert made["prompts"] == len(read_prompts(tmp_path / "out" / "prompts.jsonl")) == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "needs a YAML file, or --policy, --objective and --out"),
        (["--policy", "x"], "needs a YAML file, or --policy, --objective and --out"),
        (["run.yaml", "--prompts", "5"], "--prompts: stands for a file, and there is one: run.yaml"),
        (["--policy", "./absent", "--objective", "a=b", "--out", "out"], "--policy ./absent: no such folder"),
    ],
)
def test_options_that_do_not_make_a_run(given: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["fit", *given])
    assert result.exit_code == 1
    assert told in result.output
