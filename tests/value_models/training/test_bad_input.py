"""What is wrong with a run is one line that names the culprit, exit code 1; where it can be, before any sampling."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM, LlamaForSequenceClassification
from typer.testing import CliRunner

from mavis_core.model.policy import Policy
from server.cli.app import app
from tests.forked import Forked
from tests.forked_mavis import mavis
from tests.models import HIDDEN, RANK, WIDTH, byte_tokenizer
from tests.value_models.configs import value_config
from tests.value_models.evaluation import test_evaluate as evaluation
from tests.value_models.fake_judge import FakeJudge, serving
from tests.value_models.rewards.test_classifier import saved
from tests.value_models.training import test_run
from tests.value_models.training.test_run import fit, place
from value_models import durable
from value_models.kinds.head import save_head
from value_models.kinds.head_network import HeadNetwork

HERE = "tests.value_models.training.test_bad_input"
inputs, tiny = test_run.inputs, evaluation.folder


def raises(prompts: Any, responses: list[str]) -> list[float]:
    raise KeyError("tone")


def nan(prompts: Any, responses: list[str]) -> list[float]:
    return [float("nan") for _ in responses]


def one_number(prompts: Any, responses: list[str]) -> list[float]:
    """One for all of them."""
    return [1.0]


def said(command: str, path: Path) -> str:
    """What the command that fails says."""
    result = CliRunner().invoke(app, [command, str(path)])
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "an error of ours, no traceback"
    return result.output


def refused_at_once(path: Path, *told: str) -> None:
    """``mavis fit`` says one line, with all of ``told`` in it, and nothing was sampled."""
    output = said("fit", path)
    assert len(output.strip().splitlines()) == 1, output
    for text in told:
        assert text in output
    assert not list(path.parent.rglob("shard-*"))
    assert not (path.parent / "run" / "rollouts").exists(), "a corrected file may use the folder"


def cut(path: Path, count: int = 40) -> None:
    """Take the end of a file away."""
    path.write_bytes(path.read_bytes()[:-count])


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("raises", "raised KeyError: 'tone'"),
        ("nan", "gave nan for 'Thank you"),
        ("one_number", "gave 1 scores for 2 responses"),
        ("absent", "has no 'absent'"),
    ],
)
def test_a_reward_that_does_not_score(inputs: Path, tmp_path: Path, function: str, told: str) -> None:
    rewards = {"tone": {"function": f"{HERE}:{function}"}}
    refused_at_once(place(inputs, tmp_path / "it", rewards=rewards), "reward 'tone'", told)


@pytest.mark.parametrize(
    ("output", "told"),
    [(3, "output=3: it has 3 outputs"), (None, "output: must be chosen"), ("kind", "output='kind': it has 3 outputs")],
)
def test_a_classifier_with_other_outputs(inputs: Path, tmp_path: Path, output: Any, told: str) -> None:
    path = place(inputs, tmp_path / "it", rewards={"tone": {"classifier": "judge", "output": output}})
    saved(path.parent / "judge", 3)
    refused_at_once(path, "reward 'tone'", told)


def test_a_classifier_that_is_cut_off(inputs: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it", rewards={"tone": {"classifier": "judge", "output": 1}})
    saved(path.parent / "judge", 3)
    cut(path.parent / "judge" / "model.safetensors")
    refused_at_once(path, "reward 'tone'", "judge")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"content": "I would say 7."}, "answered 'I would say 7.': must be"),
        ({"content": '{"score": 11}'}, 'must be {"score": number from 0 to 10}'),
        ({"status": 401}, "status 401"),
        ({"status": 500}, "status 500"),
        ({"seconds": 1.0}, "no answer within 0.2 s"),
    ],
)
def test_a_judge_that_does_not_judge(inputs: Path, tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    with serving(FakeJudge(**settings)) as judge:
        asked = {"url": judge.url, "model": "m", "rubric": "kindness", "retries": 0, "timeout": 0.2}
        refused_at_once(place(inputs, tmp_path / "it", rewards={"kind": {"judge": asked}}), "reward 'kind'", told)
        assert sum(judge.asked.values()) <= 2


def test_a_judge_that_is_not_there(inputs: Path, tmp_path: Path) -> None:
    with serving(FakeJudge()) as judge:
        pass  # and gone: nobody listens at its port
    asked = {"url": judge.url, "model": "m", "rubric": "kindness", "retries": 0}
    path = place(inputs, tmp_path / "it", rewards={"kind": {"judge": asked}})
    refused_at_once(path, "reward 'kind'", judge.url, "ConnectError")
    cache = path.parent / "run" / "judges" / "kind.sqlite"
    cache.write_bytes(b"no database" * 100)
    refused_at_once(path, "reward 'kind'", "kind.sqlite", "not a database")


LINES = [
    ("{", "line 2: not JSON"),
    ('{"messages": [{"role": "robot", "content": "x"}]}', "line 2: role='robot': must be one of system, user"),
    ('{"messages": [{"role": "assistant", "content": "x"}]}', "line 2: the last message must be the user's"),
    ('{"messages": [{"role": "user", "content": "x"}]}', "chat template"),
    (json.dumps({"prompt": "x" * 119}), "has 119 tokens: 1 to 118 leave room for 10 more"),
]


@pytest.mark.parametrize(("line", "told"), LINES)
def test_a_prompt_that_is_none(inputs: Path, tmp_path: Path, line: str, told: str) -> None:
    path = place(inputs, tmp_path / "it")
    text = "".join(json.dumps({"prompt": f"fine {i}"}) + "\n" for i in range(20))
    (path.parent / "prompts.jsonl").write_text('{"prompt": "fine"}\n' + line + "\n" + text)
    refused_at_once(path, told)


def test_prompts_that_are_none_or_too_few(inputs: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it")
    prompts = path.parent / "prompts.jsonl"
    prompts.write_text("")
    refused_at_once(path, "prompts.jsonl: has no prompts")
    prompts.write_text('{"prompt": "same"}\n' * 50 + '{"prompt": "other"}\n')
    refused_at_once(path, "train.held_out=0.2: leaves 0 of 2 different prompts")
    prompts.unlink()
    refused_at_once(path, "prompts.jsonl", "No such file")


KEYS: list[tuple[dict[str, Any], str]] = [
    ({"promts": "x"}, "promts: unknown key; did you mean 'prompts'?"),
    ({"engine": {"max_seqs": 3}}, "engine.max_seqs: unknown key; did you mean 'max_num_seqs'?"),
    ({"rollouts": {"topk": 3}}, "rollouts.topk: unknown key; did you mean 'top_k'?"),
    ({"rollouts": {"shape": {"layer": 3}}}, "rollouts.shape.layer: unknown key; did you mean 'layers'?"),
    ({"train": {"epoch": 3}}, "train.epoch: unknown key; did you mean 'epochs'?"),
    ({"train": {"lm": {"lora": 3}}}, "train.lm.lora: unknown key; did you mean 'lora_rank'?"),
    ({"iterate": {"round": 3}}, "iterate.round: unknown key; did you mean 'rounds'?"),
    ({"rewards": {"a": {"functions": "x:y"}}}, "rewards.a.functions: unknown key; did you mean 'function'?"),
    ({"rewards": {"a": {"judge": {"model_name": "m"}}}}, "rewards.a.judge.model_name: unknown key"),
]


@pytest.mark.parametrize(("changes", "told"), KEYS)
def test_an_unknown_key_of_a_run(inputs: Path, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    refused_at_once(place(inputs, tmp_path / "it", **changes), told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"teacher": "x"}, "teacher: unknown key; did you mean 'teachers'?"),
        ({"engine": {"dtypes": "x"}}, "engine.dtypes: unknown key; did you mean 'dtype'?"),
        ({"train": {"lm": {"layer": 1}}}, "train.lm.layer: unknown key; did you mean 'layers'?"),
        ({"teachers": ["none"]}, "teachers[0]='none': no such folder: "),
        ({"rollouts": "run/labels"}, "labels: is not a folder that `mavis rollouts` filled"),
    ],
)
def test_a_mistake_in_a_distillation(whole: Path, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    shutil.copytree(whole, tmp_path / "it")
    settings = {"folder": "out", "policy": "policy", "rollouts": "run/rollouts", "teachers": ["run/value"], **changes}
    path = tmp_path / "it" / "d.yaml"
    path.write_text(yaml.safe_dump(settings))
    output = said("distill", path)
    assert told in output and len(output.strip().splitlines()) == 1
    assert not (path.parent / "out").exists()


ARM = evaluation.SETTINGS["arms"]["head"]
EVALUATION: list[tuple[dict[str, Any], str]] = [
    ({"budget": [1]}, "budget: unknown key; did you mean 'budgets'?"),
    ({"engine": {"max_seqs": 3}}, "engine.max_seqs: unknown key"),
    ({"arms": {"head": {**ARM, "beta": 1}}}, "arms.head.beta: unknown key; did you mean 'betas'?"),
    ({"arms": {"head": {**ARM, "guidance": {"topk": 1}}}}, "arms.head.guidance.topk: unknown key"),
    ({"arms": {"head": {**ARM, "values": ["none"]}}}, "arms.head.values[0]='none': no such folder: "),
    (
        {"claims": [{"better": "head", "then": "base", "nats": 0.01}]},
        "claims[0].then: unknown key; did you mean 'than'",
    ),
    ({"rewards": {"low": {"functon": "x:y"}}}, "rewards.low.functon: unknown key; did you mean 'function'?"),
    ({"constants": "policy"}, "manifest.json"),
]


@pytest.mark.parametrize(("changes", "told"), EVALUATION)
def test_a_mistake_in_an_evaluation(tiny: Path, changes: dict[str, Any], told: str) -> None:
    output = said("evaluate", evaluation.write(tiny, **changes) / "e.yaml")
    assert told in output and len(output.strip().splitlines()) == 1
    assert not (tiny / "out" / "answers").exists()


def test_an_arm_whose_value_is_cut_off_is_found_before_the_first_arm_is_sampled(tiny: Path) -> None:
    shutil.copytree(tiny / "value", tiny / "broken")
    cut(tiny / "broken" / "model.safetensors")
    arms = {"head": ARM, "last": {**ARM, "values": ["broken"]}}
    output = said("evaluate", evaluation.write(tiny, arms=arms) / "e.yaml")
    assert "broken/model.safetensors" in output
    assert not (tiny / "out" / "answers").exists()


def steered(inputs: Path, folder: Path, objective: str = "low") -> Path:
    """A run whose rollouts a value steers; its file."""
    path = place(
        inputs,
        folder,
        values=["value"],
        constants="constants",
        rollouts={**test_run.SETTINGS["rollouts"], "weights": {objective: 1.0}},
    )
    policy = Policy.load(str(path.parent / "policy"), torch.device("cpu"), torch.float32)
    save_head(path.parent / "value", value_config(policy, "low"), HeadNetwork(1, HIDDEN, WIDTH, RANK))
    constants = path.parent / "constants"
    durable.write_json(constants / "manifest.json", {"rewards": {"low": {}}})
    durable.write_json(constants / "normalisation.json", {"mean": [0.5], "std": [0.1]})
    return path


def other_weights(folder: Path) -> None:
    torch.manual_seed(9)
    config = LlamaForCausalLM.from_pretrained(folder / "policy").config
    LlamaForCausalLM(config).save_pretrained(folder / "policy")


def other_tokens(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(folder / "policy")


def cut_value(folder: Path) -> None:
    cut(folder / "value" / "model.safetensors")


def not_finite(folder: Path) -> None:
    path = folder / "value" / "model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (other_weights, ["value: trained for policy", "fingerprint"]),
        (other_tokens, ["value: trained for policy", "tokenizer_hash"]),
        (cut_value, ["value/model.safetensors"]),
        (not_finite, ["value/model.safetensors", "not finite"]),
    ],
)
def test_a_value_that_does_not_fit(inputs: Path, tmp_path: Path, harm: Callable[[Path], None], told: list[str]) -> None:
    path = steered(inputs, tmp_path / "it")
    harm(path.parent)
    refused_at_once(path, *told)


def test_constants_that_are_not_there(inputs: Path, tmp_path: Path) -> None:
    path = steered(inputs, tmp_path / "it")
    shutil.rmtree(path.parent / "constants")
    refused_at_once(path, "constants/manifest.json: is not there; the step that makes it has not been run")


def test_weights_that_the_values_do_not_score(inputs: Path, tmp_path: Path) -> None:
    refused_at_once(steered(inputs, tmp_path / "it", "kind"), "rollouts: objective_weights: unknown objective 'kind'")


def test_a_policy_that_is_cut_off_or_absent(inputs: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it")
    cut(path.parent / "policy" / "model.safetensors")
    refused_at_once(path, "policy")
    shutil.rmtree(path.parent / "policy")
    refused_at_once(path, f"{path}: policy='policy': no such folder: {path.parent / 'policy'} (paths are relative to")


def test_a_policy_without_an_output_layer(inputs: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it")
    config = LlamaForCausalLM.from_pretrained(path.parent / "policy").config
    LlamaForSequenceClassification(config).save_pretrained(path.parent / "policy")
    refused_at_once(path, f"{path.parent / 'policy'}: has no weights for lm_head.weight")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"policy": "./none"}, "policy="),
        ({"values": ["policy", "./none"]}, "values[1]="),
        ({"rewards": {"tone": {"classifier": "./none"}}}, "rewards.tone.classifier="),
        ({"train": {"kind": "lm", "lm": {"backbone": "./none"}}}, "train.lm.backbone="),
    ],
)
def test_a_folder_that_is_not_there(inputs: Path, tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    path = place(inputs, tmp_path / "it", **changes)
    refused_at_once(path, f"{path}: {key}'./none': no such folder: {path.parent / 'none'} (paths are relative to")


def test_a_device_that_is_not_there(inputs: Path, tmp_path: Path) -> None:
    refused_at_once(place(inputs, tmp_path / "it", engine={"device": "tpu"}), "device='tpu': ")
    path = place(inputs, tmp_path / "other", rewards={"tone": {"classifier": "judge", "device": "tpu", "output": 1}})
    saved(path.parent / "judge", 3)
    refused_at_once(path, "reward 'tone': device='tpu': ")


def test_a_backbone_with_another_tokenizer(inputs: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it", train={"kind": "lm", "lm": {"backbone": "other"}})
    shutil.copytree(path.parent / "policy", path.parent / "other")
    other = byte_tokenizer()
    other.add_tokens(["<more>"])
    other.save_pretrained(path.parent / "other")
    refused_at_once(path, "train.lm.backbone=", "other", "its tokenizer is not the policy's")


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is done."""
    return fit(small(inputs, tmp_path_factory.mktemp("whole") / "it")).parents[1]


def small(inputs: Path, folder: Path) -> Path:
    """The file of a run of three shards."""
    rollouts = {**test_run.SETTINGS["rollouts"], "shard_prompts": 8}
    path = place(inputs, folder, rollouts=rollouts, train={"epochs": 2, "beta_prompts": 0})
    prompts = path.parent / "prompts.jsonl"
    prompts.write_text("".join(prompts.read_text().splitlines(keepends=True)[:24]))
    return path


@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("rollouts/shard-00001.safetensors", "remove it and run the same command again"),
        ("labels/shard-00002.safetensors", "remove it and run the same command again"),
        ("training/checkpoint.pt", "remove it to train from the beginning"),
        ("labels/normalisation.json", ""),
        ("rollouts/manifest.json", ""),
    ],
)
def test_a_file_of_the_run_that_is_cut_off(whole: Path, tmp_path: Path, file: str, again: str) -> None:
    shutil.copytree(whole, tmp_path / "it")
    run = tmp_path / "it" / "run"
    shutil.rmtree(run / "value")
    cut(run / file)
    output = said("fit", tmp_path / "it" / "run.yaml")
    assert str(run / file) in output.replace("\n", "") and again in output
    if again:  # as it says
        (run / file).unlink()
        result = CliRunner().invoke(app, ["fit", str(tmp_path / "it" / "run.yaml")])
        assert result.exit_code == 0
        for made in ("model.safetensors", "config.json"):
            assert (run / "value" / made).read_bytes() == (whole / "run" / "value" / made).read_bytes()


@pytest.mark.parametrize("step", ["rollouts", "labels", "training", "value"])
def test_a_folder_that_cannot_be_written(whole: Path, tmp_path: Path, step: str) -> None:
    shutil.copytree(whole, tmp_path / "it")
    run = tmp_path / "it" / "run"
    for each in ("value", "training", "labels", "rollouts"):
        shutil.rmtree(run / each)
        if each == step:
            break
    (run / step).write_text("a file where the folder should be")
    assert step in said("fit", tmp_path / "it" / "run.yaml")


def test_the_command_says_one_line_and_no_traceback(inputs: Path, tmp_path: Path) -> None:
    path = place(inputs, tmp_path / "it", rewards={"tone": {"function": f"{HERE}:raises"}})
    words = [sys.executable, "-m", "server", "fit", str(path)]
    result = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 1 and not result.stdout
    assert result.stderr.splitlines() == ["reward 'tone': raised KeyError: 'tone'"]


def on_a_full_disk(largest: int, *words: str) -> None:
    """``mavis`` with these words, where files larger than ``largest`` bytes cannot be written."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    mavis(*words)


def test_a_full_disk_is_said_and_what_was_made_stays(inputs: Path, whole: Path, tmp_path: Path) -> None:
    path = small(inputs, tmp_path / "it")
    first = whole / "run" / "rollouts" / "shard-00000.safetensors"
    log = tmp_path / "log"
    assert Forked(on_a_full_disk, first.stat().st_size // 2, "fit", str(path), log=log).wait(200) == 1
    told = log.read_text(encoding="utf-8")
    assert "Traceback" not in told
    told = told.splitlines()[-1]
    assert str(path.parent / "run" / "rollouts" / first.name) in told and "cannot be written" in told
    resumed = fit(path)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "run" / "value" / "model.safetensors").read_bytes()


def test_a_value_that_was_made_from_something_else_is_not_taken_for_this_runs(whole: Path, tmp_path: Path) -> None:
    """As who follows the first message, and removes what it names, finds out."""
    shutil.copytree(whole, tmp_path / "it")
    path = tmp_path / "it" / "run.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, "train": {**settings["train"], "epochs": 3}}))
    assert "run/training: was begun with other settings" in said("fit", path)
    shutil.rmtree(tmp_path / "it" / "run" / "training")
    assert "run/value: was made from something else (train: " in said("fit", path)
