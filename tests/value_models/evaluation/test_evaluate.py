"""A whole evaluation on a tiny policy: answers, scores, report; stopped half-way, resumed, and refused when changed."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RewardError
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from server.cli.app import app
from tests.models import HIDDEN, RANK, WIDTH, save_byte_llama
from tests.value_models.configs import value_config
from value_models.evaluation.config import load_config
from value_models.evaluation.evaluate import Evaluation
from value_models.evaluation.sampling import answer, base_nlls, sampling_params
from value_models.folders import load_value
from value_models.kinds.head import save_head
from value_models.kinds.head_network import HeadNetwork

REWARDS = "tests.value_models.toy_rewards"
SETTINGS: dict[str, Any] = {
    "folder": "out",
    "prompts": "prompts.jsonl",
    "policy": "policy",
    "rewards": {"low": {"function": f"{REWARDS}:low"}, "short": {"function": f"{REWARDS}:short"}},
    "axes": ["low", "short"],
    "reference_point": [-3, -3],
    "arms": {"head": {"values": ["value"], "betas": [2, 0.5]}, "scaled": {"values": ["value"], "betas": [3]}},
    "shares": [0, 1],
    "budgets": [0.01],
    "claims": [{"better": "head", "than": "base", "nats": 0.01}],
    "samples": 2,
    "max_tokens": 6,
    "resamples": 100,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path)


def made(folder: Path) -> Path:
    """All that an evaluation needs, in ``folder``."""
    save_byte_llama(folder / "policy")
    policy = Policy.load(str(folder / "policy"), torch.device("cpu"), torch.float32)
    network = HeadNetwork(2, HIDDEN, WIDTH, RANK)
    network.state_out.data *= 30  # a value that moves something
    save_head(folder / "value", value_config(policy, "low", "short"), network)
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"say {i}"}) + "\n" for i in range(5)))
    return write(folder)


def write(folder: Path, **changes: Any) -> Path:
    (folder / "e.yaml").write_text(yaml.safe_dump({**SETTINGS, **changes}))
    return folder


def run(folder: Path) -> Evaluation:
    evaluation = Evaluation(load_config(folder / "e.yaml"), progress=False, say=lambda line: None)
    evaluation.run()
    return evaluation


def plain(path: Path) -> list[dict[str, Any]]:
    """A file of answers without what a clock said."""
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("drawn_pictures")
def test_from_a_file_to_a_report_and_resumed_to_the_same(folder: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(folder / "e.yaml")])
    assert result.exit_code == 0, result.output
    out = folder / "out"
    made = sorted(p.relative_to(out / "answers").as_posix() for p in (out / "answers").rglob("*.jsonl"))
    points = [f"head/share-{s}-beta-{b}" for s in (0, 1) for b in ("0.5", "2")]
    points += [f"scaled/share-{s}-beta-3" for s in (0, 1)]
    assert made == ["base.jsonl", *(f"{p}.jsonl" for p in points)]
    assert {p.name for p in (out / "report").iterdir()} == {
        *(f"{name}.{suffix}" for name in ("curves", "fronts") for suffix in ("png", "svg")),
        *("points.csv", "matched.csv", "report.md"),
    }
    assert all(p.stat().st_size > 1000 for p in (out / "report").iterdir() if p.suffix in (".png", ".svg"))
    page = (out / "report" / "report.md").read_text()
    assert page.startswith("# low against short") and "`head` has more hypervolume than `base`" in page
    with (out / "report" / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    base = rows[0]
    assert (base["arm"], float(base["steering_nats"])) == ("base", 0.0)
    assert float(base["low"]) == pytest.approx(0, abs=1e-9), "z-scored on itself"
    assert all(float(row["steering_nats"]) > 0 for row in rows[1:])

    before = {p: plain(p) for p in (out / "answers").rglob("*.jsonl")}
    scores = {p: p.read_bytes() for p in (out / "scores").rglob("*.safetensors")}
    kept = (out / "answers" / "base.jsonl").stat().st_mtime_ns
    (out / "answers" / "head" / "share-0-beta-2.jsonl").unlink()
    (out / "scores" / "head" / "share-0-beta-2.safetensors").unlink()
    run(folder)
    assert {p: plain(p) for p in before} == before
    assert {p: p.read_bytes() for p in scores} == scores
    assert (out / "answers" / "base.jsonl").stat().st_mtime_ns == kept


def test_what_decides_the_outcome_cannot_be_changed_afterwards_but_arms_may_be_added(folder: Path) -> None:
    one = {"head": SETTINGS["arms"]["head"]}
    run(write(folder, arms=one))
    run(write(folder))
    result = CliRunner().invoke(app, ["evaluate", str(write(folder, reference_point=[0, 0]) / "e.yaml")])
    assert result.exit_code == 1 and "reference_point: [-3.0, -3.0] there, [0.0, 0.0] now" in result.output
    result = CliRunner().invoke(app, ["evaluate", str(write(folder, claims=[]) / "e.yaml")])
    assert result.exit_code == 1 and "claims: " in result.output
    changed = {"head": {**SETTINGS["arms"]["head"], "guidance": {"normalise": "minmax"}}}
    result = CliRunner().invoke(app, ["evaluate", str(write(folder, arms=changed) / "e.yaml")])
    assert result.exit_code == 1 and "guidance: " in result.output


def test_values_that_do_not_score_an_axis_are_found_before_anything_is_sampled(folder: Path) -> None:
    rewards = {**SETTINGS["rewards"], "kind": {"function": f"{REWARDS}:short"}}
    path = write(folder, rewards=rewards, axes=["low", "kind"]) / "e.yaml"
    result = CliRunner().invoke(app, ["evaluate", str(path)])
    assert result.exit_code == 1 and "arms.head: its values do not score 'kind'; they score low, short" in result.output
    assert not (folder / "out" / "answers").exists()


def test_requests_that_the_engine_refuses_are_found_before_anything_is_sampled(folder: Path) -> None:
    one = SETTINGS["arms"]["head"]
    path = write(folder, arms={"head": one, "last": {**one, "values": ["value", "value"]}}) / "e.yaml"
    result = CliRunner().invoke(app, ["evaluate", str(path)])
    assert result.exit_code == 1 and "arms.last: objective 'low' is scored by two values" in result.output
    assert not (folder / "out" / "answers").exists()


def test_answers_survive_a_reward_that_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(prompts: Any, responses: Sequence[str]) -> list[float]:
        if len(responses) > 2:
            raise ValueError("no more quota")
        return [0.0] * len(responses)

    monkeypatch.setattr(f"{REWARDS}.short", failing)
    with pytest.raises(RewardError, match=r"'short'.*no more quota"):
        run(folder)
    monkeypatch.undo()
    kept = (folder / "out" / "answers" / "base.jsonl").stat().st_mtime_ns
    run(folder)
    assert (folder / "out" / "answers" / "base.jsonl").stat().st_mtime_ns == kept


def test_prices_of_base_answers(folder: Path) -> None:
    """Perplexity is that of a plain forward; with one candidate nothing is drawn, and truncation is all there is."""
    policy = Policy.load(str(folder / "policy"), torch.device("cpu"), torch.float32)
    engine = Engine(policy, [], EngineConfig())
    text, prompt = [65, 66, 67, 200, 256], 2
    with torch.inference_mode():
        logprobs = policy.logits(policy.backbone.forward_plain(torch.tensor(text))).log_softmax(-1)
    expected = -sum(float(logprobs[i - 1, text[i]]) for i in range(prompt, len(text)))
    assert base_nlls(engine, [text], [prompt]) == pytest.approx([expected], abs=1e-4)
    for made in answer(engine, [[65, 66], [70]], Guidance(top_k=1), 2, 5, seed=1):
        assert made.truncation_nats == pytest.approx(made.base_nll, abs=1e-4)
        assert made.base_nll > 1 and made.steering_nats == 0


def test_steered_answers_are_as_likely_as_a_plain_forward_says(folder: Path) -> None:
    policy = Policy.load(str(folder / "policy"), torch.device("cpu"), torch.float32)
    engine = Engine(policy, [load_value(folder / "value", policy)], EngineConfig())
    prompt, guidance = [65, 66, 67], Guidance({"low": 1.0}, beta=3.0, top_k=40)
    for made in answer(engine, [prompt], guidance, 4, 6, seed=1):
        found = _drawn_again(engine, prompt, guidance, made.sample, 4, 6)
        with torch.inference_mode():
            logits = policy.logits(policy.backbone.forward_plain(torch.tensor([*prompt, *found])))
            logits[len(prompt) - 1, list(policy.stop_token_ids)] = -torch.inf
            logprobs = logits.log_softmax(-1)
        expected = -sum(float(logprobs[len(prompt) - 1 + i, token]) for i, token in enumerate(found))
        assert made.base_nll == pytest.approx(expected, abs=1e-4)


def _drawn_again(engine: Engine, prompt: list[int], steer: Guidance, sample: int, n: int, limit: int) -> list[int]:
    """The tokens of an answer, which an evaluation does not keep."""
    ((*choices,),) = generate(engine, [prompt], sampling_params("1/0", n, limit, steer), steer)
    return choices[sample].token_ids


def test_answers_are_a_function_of_seed_prompt_and_sample(folder: Path) -> None:
    engine = Engine(Policy.load(str(folder / "policy"), torch.device("cpu"), torch.float32), [], EngineConfig())
    first, again, other = (answer(engine, [[65], [70]], Guidance(), 2, 5, seed) for seed in (1, 1, 2))
    assert [(a.prompt, a.sample) for a in first] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [a.text for a in first] == [a.text for a in again] != [a.text for a in other]
    assert len({a.text for a in first}) > 1
