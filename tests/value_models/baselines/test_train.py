"""``mavis baseline`` on a tiny policy: it learns, it is sampled as values are, and it goes on after a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RewardError, RunError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from server.cli.app import app
from tests.models import save_byte_llama
from value_models.baselines.config import load_config
from value_models.baselines.policies import read_log, read_policies
from value_models.baselines.train import train_policies
from value_models.loading import SHIPPED_POLICY, build_engine
from value_models.prompts import Prompt

pytest.importorskip("trl")
HERE = "tests.value_models.baselines.test_train"
SETTINGS: dict[str, Any] = {
    "folder": "rl",
    "prompts": "prompts.jsonl",
    "policy": "policy",
    "rewards": {"low": {"function": f"{HERE}:low"}, "short": {"function": f"{HERE}:short"}},
    "constants": "labels",
    "policies": {"low": {"low": 1}, "both": {"low": 0.5, "short": 0.5}},
    "max_tokens": 5,
    "top_k": 3,
    "train": {"steps": 2, "every": 1, "batch": 4, "samples": 2, "learning_rate": 0.01, "warmup": 0, "kl": 0.01},
}
SEEN: list[tuple[str, str]] = []


def low(prompts: Any, responses: Sequence[str]) -> list[float]:
    """Share of characters in the lower half of the byte range."""
    SEEN.extend((prompt.text, text) for prompt, text in zip(prompts, responses, strict=True))
    return [sum(ord(c) < 64 for c in text) / max(1, len(text)) for text in responses]


def short(prompts: Any, responses: Sequence[str]) -> list[float]:
    """Few characters."""
    return [-float(len(text)) for text in responses]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_byte_llama(tmp_path / "policy")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"say {i}"}) + "\n" for i in range(6)))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "manifest.json").write_text(json.dumps({"rewards": {"short": {}, "low": {}}}))
    (tmp_path / "labels" / "normalisation.json").write_text(json.dumps({"mean": [-3, 0.5], "std": [2, 0.25]}))
    return write(tmp_path)


def write(folder: Path, **changes: Any) -> Path:
    (folder / "rl.yaml").write_text(yaml.safe_dump({**SETTINGS, **changes}))
    return folder


def train(folder: Path) -> None:
    train_policies(load_config(folder / "rl.yaml"), progress=False, say=lambda line: None)


def one(**changes: Any) -> dict[str, Any]:
    return {"policies": {"low": {"low": 1}}, "train": {**SETTINGS["train"], **changes}}


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(path / "model.safetensors")
    return found


def test_from_a_file_to_policies_that_are_served(folder: Path) -> None:
    result = CliRunner().invoke(app, ["baseline", str(folder / "rl.yaml")])
    assert result.exit_code == 0, result.output
    found = read_policies(folder / "rl")
    assert {name: (p.weights, p.steps) for name, p in found.items()} == {
        "both": ({"low": 0.5, "short": 0.5}, [1, 2]),
        "low": ({"low": 1.0}, [1, 2]),
    }
    log = read_log(found["both"].folder)
    assert [entry["step"] for entry in log] == [1, 2]
    for entry in log:
        assert entry["reward"] == pytest.approx((entry["rewards"]["low"] + entry["rewards"]["short"]) / 2, abs=1e-5)
    assert log[0]["nats"] == pytest.approx(0, abs=1e-5)
    step = found["low"].checkpoint(2)
    before, after = weights(folder / "policy"), weights(step)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert {p.name for p in step.iterdir()} <= {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("special_tokens_map.json", "chat_template.jinja"),
    }, "a model and no state of the trainer"
    assert Policy.load(str(step), torch.device("cpu"), torch.float32).stop_token_ids == (256,)
    engine = build_engine(str(folder / "policy"), [str(folder / "rl" / "mod")], EngineConfig())
    ((choice,),) = generate(engine, ["say 1"], SamplingParams(max_tokens=3, seed=1), Guidance({"low": 1.0}))
    assert choice.guidance is not None and choice.guidance.steering_nats > 0


def test_prompts_reach_the_policy_as_they_do_everywhere() -> None:
    """TRL renders conversations itself."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_POLICY)
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "  <|user|> Hi "}]
    settings = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
    theirs = tokenizer.apply_chat_template([messages], **settings)["input_ids"]
    assert theirs == [Prompt.chat(messages).encode(tokenizer)]


def test_it_learns_and_scores_what_a_reader_sees(folder: Path) -> None:
    SEEN.clear()
    train(write(folder, **one(steps=20, every=20, batch=16, samples=8, learning_rate=0.02, kl=0.0)))
    log = read_log(folder / "rl" / "low")
    first, last = (sum(entry["reward"] for entry in part) / 4 for part in (log[:4], log[-4:]))
    assert last > first + 0.5
    assert all("<eos>" not in text for _, text in SEEN)
    assert all(text for _, text in SEEN), "no response begins with a stop token"
    assert {prompt for prompt, _ in SEEN} == {f"say {i}" for i in range(6)}


def test_killed_and_resumed_it_ends_with_the_same_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(write(folder, **one(steps=4, every=2)))
    (folder / "rl").rename(folder / "whole")
    calls, alive = 0, low

    def dies(prompts: Any, responses: Sequence[str]) -> list[float]:
        nonlocal calls
        calls += 1
        if calls > 4:  # the probe, three steps
            raise KeyboardInterrupt
        return alive(prompts, responses)

    monkeypatch.setattr(f"{HERE}.low", dies)
    write(folder, **one(steps=4, every=2))
    with pytest.raises(KeyboardInterrupt):
        train(folder)
    monkeypatch.undo()
    assert read_policies(folder / "rl")["low"].steps == [2]
    torn = folder / "rl" / "low" / "trainer" / "checkpoint-4"  # killed while it wrote the next one
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    train(folder)
    for step in (2, 4):
        expected, found = (weights(folder / run / "low" / f"step-{step}") for run in ("whole", "rl"))
        assert all(torch.equal(expected[name], found[name]) for name in expected)

    def plain(run: str) -> list[dict[str, Any]]:
        return [{k: v for k, v in entry.items() if k != "seconds"} for entry in read_log(folder / run / "low")]

    assert plain("whole") == plain("rl")


def test_more_steps_and_policies_may_be_asked_for_and_nothing_else(folder: Path) -> None:
    train(write(folder, **one(steps=1)))
    kept = weights(folder / "rl" / "low" / "step-1")
    train(write(folder, **one(steps=2)))
    assert read_policies(folder / "rl")["low"].steps == [1, 2]
    assert all(torch.equal(kept[n], t) for n, t in weights(folder / "rl" / "low" / "step-1").items())
    with pytest.raises(RunError, match=r"begun with other settings \(train: "):
        train(write(folder, **one(steps=2, kl=0.5)))
    with pytest.raises(RunError, match=r"begun with other settings \(weights: "):
        train(write(folder, **{**one(steps=2), "policies": {"low": {"low": 0.5}}}))


def test_what_cannot_be_trained_is_said_before_it_is_tried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps({"prompt": "a"}), json.dumps({"messages": [{"role": "user", "content": "b"}]})]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match="mix conversations and plain texts"):
        train(folder)
    (folder / "prompts.jsonl").write_text(json.dumps({"prompt": "a"}) + "\n")
    with pytest.raises(RunError, match="has 1 prompts; a step takes batch / samples = 2"):
        train(folder)
    (folder / "prompts.jsonl").write_text(2 * (json.dumps({"prompt": "a" * 200}) + "\n"))
    with pytest.raises(RunError, match="has 200 tokens: 1 to 123 leave room for 5 more"):
        train(folder)
    monkeypatch.setattr(f"{HERE}.low", lambda prompts, responses: [float("nan")] * len(responses))
    with pytest.raises(RewardError, match=r"'low'.*must be a finite number"):
        train(folder)
    assert not (folder / "rl" / "manifest.json").exists()
