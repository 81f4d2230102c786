"""The benchmark of values from sentences: figures of answers that are made up, and one small run of the whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import load_file

from benchmarks.from_words.__main__ import main, named, sentences
from benchmarks.from_words.cells import BASE, Cell, cells
from benchmarks.from_words.findings import Findings
from benchmarks.from_words.page import page
from mavis_core.api.errors import RunError
from mavis_core.model.policy import Policy
from tests.models import HIDDEN, RANK, WIDTH, save_byte_llama
from value_models.evaluation.sampling import SampledAnswer
from value_models.identity import identify
from value_models.kinds.head import save_head
from value_models.kinds.head_network import HeadNetwork
from value_models.prompts import Prompt
from value_models.value_config import ObjectiveConfig, ValueConfig

TEMPLATE = "{% for m in messages %}{{ m['role'][0] + m['content'] + '|' }}{% endfor %}"
WORDS = {"concise": "Brief.", "formal": "Stiff."}


def answers(words: Sequence[int], nats: float) -> list[SampledAnswer]:
    """One per prompt, of so many words, in twice as many tokens."""
    return [SampledAnswer(i, 0, "w " * n, "stop", 2 * n, 2 * n, nats, 1.0, 2.0 * n, 0.5) for i, n in enumerate(words)]


def test_a_value_is_compared_with_its_words_prompt_by_prompt() -> None:
    base = list(range(40, 60))
    found = Findings(
        [Prompt(f"question {i}") for i in range(20)],
        {
            BASE: answers(base, 0.0),
            Cell("words", "concise", 1.0): answers([n - 10 for n in base], 5.0),
            Cell("taught", "concise", 1.0): answers([n - 8 for n in base], 4.0),
        },
    )
    unit = torch.tensor(base, dtype=torch.float64).std(correction=0).item()
    words = found.figures(Cell("words", "concise", 1.0), "concise")
    taught = found.figures(Cell("taught", "concise", 1.0), "concise")
    assert (words.measure.estimate, words.beside_words) == (39.5, None)
    assert words.moved.estimate == pytest.approx(10 / unit) and taught.moved.low == pytest.approx(8 / unit)
    assert taught.beside_words is not None and taught.beside_words.estimate == pytest.approx(-2 / unit)
    assert taught.nats_per_answer == 4 and taught.nats_per_token == pytest.approx(4 / 83)
    assert taught.perplexity == pytest.approx(2.718281828)


def test_steps_stand_beside_what_was_foreseen() -> None:
    foreseen = {"rollouts": 12, "training": 3, "beta": 1}
    report = {
        "prompts": {"prompts": 20, "drawn": 31, "seconds": 5.0, "cpu_seconds": 7.5, "memory_gb": 1.25},
        "rollouts": {"tokens_sampled": 4321, "seconds": 10.0, "forecast": {"seconds": foreseen}},
        "training": {"epochs": 4, "seconds": 2.0, "cpu_seconds": 3.0, "memory_gb": 1.5},
    }
    setting = {"model": "m", "count": 1, "tokens": 1, "top_k": 1, "dtype": "float32"}
    told = page({}, setting, None, {"fit": report})
    assert "| fit | prompts |  | 5 | 8 | 1.2 | prompts 20, drawn 31 |" in told
    assert "| fit | rollouts | 12 | 10 | nan | nan | tokens_sampled 4,321 |" in told
    assert "| fit | training | 4 | 2 | 3 | 1.5 | epochs 4 |" in told


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A policy over bytes that takes instructions, and two values for it."""
    save_byte_llama(tmp_path / "policy")
    file = tmp_path / "policy" / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": TEMPLATE}))
    config = tmp_path / "policy" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_position_embeddings": 512}))
    policy = Policy.load(str(tmp_path / "policy"), torch.device("cpu"), torch.float32)
    for seed, name in enumerate(("one", "other")):
        torch.manual_seed(seed)
        objectives = tuple(ObjectiveConfig(name, text, 0.0, 1.0, 4.0) for name, text in WORDS.items())
        made = ValueConfig("head", objectives, identify(policy), {"hidden_size": HIDDEN, "width": WIDTH, "rank": RANK})
        (tmp_path / name).mkdir()
        save_head(tmp_path / name, made, HeadNetwork(2, HIDDEN, WIDTH, RANK))
    return tmp_path


def run(model: Path, **changes: Any) -> None:
    values = [f"one={model / 'one'}", f"other={model / 'other'}"]
    settings = {"prompts": 2, "tokens": 3, "rows": 4, "top_k": 9, "costs": False}
    main(str(model / "policy"), values, folder=model / "run", out=model / "out", **{**settings, **changes})


def test_a_small_run_resumes_and_reports(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(cells([*WORDS], ["one", "other"])) == 1 + 2 * 3 * 2 + 2
    assert len(cells([*WORDS], ["one"], (-1.0, 1.0, 2.0), words=False)) == 1 + 3 * 2
    run(model)
    kept = {path.name: path.stat().st_mtime_ns for path in (model / "run").glob("*.jsonl")}
    assert len(kept) == 15
    (model / "run" / "formal-one-2.jsonl").unlink()
    costs: dict[str, Any] = {"new_tokens": 32, "prompt_tokens": 8, "rounds": 1}
    costs["results"] = [{"rows": 1, "tokens_per_s": {"0": 9.0, "1": 4.5, "value": 8.0}, "1 / 0": 0.5, "value / 0": 0.9}]
    monkeypatch.setattr("benchmarks.from_words.__main__.measure_costs", lambda *_: costs)
    run(model, costs=True)
    again = {path.name: path.stat().st_mtime_ns for path in (model / "run").glob("*.jsonl")}
    assert [name for name in kept if kept[name] != again[name]] == ["formal-one-2.jsonl"]
    told = (model / "out" / "README.md").read_text()
    assert told.count("| `formal` (") == 8 and "| 1 | 9.0 | 4.5 | 8.0 | 0.5 | 0.9 |" in told
    found = json.loads((model / "out" / "from_words.json").read_text())["cells"]["formal"]
    assert found["formal-one-2"]["nats_per_token"] > found["formal-one-1"]["nats_per_token"] > 0
    assert found["base"]["nats_per_token"] == 0 and found["formal-words-1"]["beside_words"] is None


def test_several_folders_are_one_value_alone_at_other_weights(model: Path) -> None:
    (model / "both").mkdir()
    for name, made in (("concise", "one"), ("formal", "other")):  # a head for each objective
        config, tensors = ValueConfig.load(model / made), load_file(model / made / "model.safetensors")
        at = [*WORDS].index(name)
        network = HeadNetwork(1, HIDDEN, WIDTH, RANK)
        network.load_state_dict({key: tensor[at : at + 1] for key, tensor in tensors.items()})
        save_head(model / "both" / name, replace(config, objectives=(config.objectives[at],)), network)
    settings: dict[str, Any] = {"prompts": 3, "tokens": 3, "rows": 4, "top_k": 9, "costs": False}
    settings |= {"words": False, "shown": 2}
    more: dict[str, Any] = {"weight": [-1.0, 2.0], "folder": model / "run", "out": model / "out"}
    main(str(model / "policy"), [f"head={model / 'both'}"], **settings, **more)
    assert {path.stem for path in (model / "run").glob("*.jsonl")} == {
        "base", "concise-head--1", "concise-head-2", "formal-head--1", "formal-head-2"
    }  # fmt: skip
    told = (model / "out" / "answers.md").read_text()
    assert told.count("- `head -1`: ") == told.count("- `nothing`: ") == 4
    setting = json.loads((model / "out" / "from_words.json").read_text())["setting"]
    assert (setting["dtype"], setting["count"]) == ("float32", 3)
    with pytest.raises(RunError, match="quantization"):
        main(str(model / "policy"), [f"head={model / 'both'}"], **settings, **{**more, "quantization": "int8"})


def test_what_cannot_be_compared_is_refused(model: Path) -> None:
    with pytest.raises(typer.BadParameter, match="must be NAME=PATH"):
        named("--value", ["one"])
    with pytest.raises(typer.BadParameter, match="must be NAME=PATH"):
        named("--report", [f"words={model}"])
    other = ValueConfig.load(model / "other")
    objectives = (ObjectiveConfig("concise", "Long.", 0.0, 1.0, 1.0), other.objectives[1])
    ValueConfig(other.kind, objectives, other.policy, other.architecture).save(model / "other")
    with pytest.raises(typer.BadParameter, match="taught differently"):
        sentences({"one": [model / "one"], "other": [model / "other"]})
    ValueConfig(other.kind, (ObjectiveConfig("warm", "W.", 0.0, 1.0, 1.0),), other.policy, other.architecture).save(
        model / "other"
    )
    with pytest.raises(typer.BadParameter, match="nothing measures 'warm'"):
        sentences({"other": [model / "other"]})
