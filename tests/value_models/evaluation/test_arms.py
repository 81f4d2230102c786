"""Arms that search and arms of trained policies, on a tiny policy."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError, RunError
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.search.kl_bound import best_of_bound, chunk_bound
from tests.value_models.evaluation.test_evaluate import folder, run, write  # noqa: F401
from value_models.baselines.mix import write_mix
from value_models.baselines.policies import read_policies
from value_models.baselines.soup import soup
from value_models.evaluation.arms import PolicyArm, build_arm
from value_models.evaluation.config import load_config
from value_models.evaluation.evaluate import Evaluation
from value_models.evaluation.points import Point
from value_models.evaluation.sampling import answer, read

BEST = {"method": "best_of", "successors": 4, "tilt": False}


def tuned(
    folder: Path,  # noqa: F811
    name: str,
    weights: dict[str, float],
    steps: Sequence[int],
    seed: int,
) -> None:
    """A policy as ``mavis baseline`` leaves it: the base model with noise that grows with the steps."""
    (folder / "rl" / name).mkdir(parents=True)
    (folder / "rl" / name / "manifest.json").write_text(json.dumps({"weights": weights}))
    for step in steps:
        policy = load(folder / "policy")
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in policy.model.parameters():
                parameter.add_(0.02 * step * torch.randn_like(parameter))
        policy.model.save_pretrained(folder / "rl" / name / f"step-{step}")
        policy.tokenizer.save_pretrained(folder / "rl" / name / f"step-{step}")  # type: ignore[union-attr]


def load(path: Path) -> Policy:
    return Policy.load(str(path), torch.device("cpu"), torch.float32)


@pytest.fixture
def trained(folder: Path) -> Path:  # noqa: F811
    tuned(folder, "a", {"low": 1.0}, [1, 2], seed=1)
    tuned(folder, "b", {"short": 1.0, "low": 0.0}, [1, 2], seed=2)
    tuned(folder, "middle", {"low": 0.5, "short": 0.5}, [1, 2, 3], seed=3)
    return folder


def evaluation(folder: Path, **arm: Any) -> Evaluation:  # noqa: F811
    path = write(folder, arms={"arm": arm}, claims=[], shares=[0, 0.2, 0.5, 1]) / "e.yaml"
    return Evaluation(load_config(path), progress=False, say=lambda line: None)


def test_searches_are_strengths_and_pay_their_bound(folder: Path) -> None:  # noqa: F811
    chunk = {"method": "chunk", "beams": 2, "successors": 2, "chunk_tokens": 3, "tilt": False}
    made = evaluation(folder, values=["value"], searches=[BEST, {**BEST, "scorer": "rewards"}, chunk])
    made.run()
    out = folder / "out" / "answers" / "arm"
    assert {p.name for p in out.glob("share-0-*.jsonl")} == {
        "share-0-best_of-4.jsonl",
        "share-0-best_of-4-rewards.jsonl",
        "share-0-chunk-2x2x3.jsonl",
    }
    answers = read(out / "share-1-best_of-4.jsonl")
    assert [(a.prompt, a.sample) for a in answers[:3]] == [(0, 0), (0, 1), (1, 0)]
    assert [a.steering_nats for a in answers] == pytest.approx([best_of_bound(4)] * len(answers), abs=1e-5)
    assert all(a.drawn > a.tokens for a in answers)
    bounds = {round(chunk_bound(2, 2, rounds), 3) for rounds in (1, 2)}
    assert {round(a.steering_nats, 3) for a in read(out / "share-1-chunk-2x2x3.jsonl")} <= bounds
    table = made.tabulate()
    at = {point: i for i, point in enumerate(table.points)}
    chosen, base = (table.rewards[at[p], :, 0].mean() for p in (Point("arm", 1, "best_of-4-rewards"), Point("base")))
    assert chosen > base + 0.3, "the best of four by the reward itself"


def test_a_policy_is_drawn_from_over_the_base_models_candidates(trained: Path) -> None:
    """Its KL is the one between the two models, renormalised over the base's k; with all of them it is the policy."""
    made = evaluation(trained, policies="rl")
    arm = made.arms["arm"]
    assert [p.name for p in arm.points] == [
        *(f"arm/share-0-step-{s}" for s in (1, 2)),
        *(f"arm/share-0.5-step-{s}" for s in (1, 2, 3)),
        *(f"arm/share-1-step-{s}" for s in (1, 2)),
    ]
    point, base = Point("arm", 0.5, "step-3"), load(trained / "policy")
    engine = Engine(base, arm.values(point, base), EngineConfig())
    prompt = [65, 66, 67]
    engine.add(Request("r", tuple(prompt), SamplingParams(max_tokens=1, min_tokens=1, seed=0), arm.guidance(point)))
    outputs = [output for output in engine.step() for output in output.deltas]
    with torch.inference_mode():
        p, ref = (
            m.logits(m.backbone.forward_plain(torch.tensor(prompt)))[-1]
            for m in (load(trained / "rl" / "middle" / "step-3"), base)
        )
        ref[256] = -math.inf  # a stop token is never the first
        kept = ref.topk(40).indices
    p, q = p[kept].log_softmax(0), ref[kept].log_softmax(0)
    stats = outputs[-1].guidance
    assert stats is not None
    assert stats.steering_nats == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-4)
    made.run()
    page = (trained / "out" / "report" / "report.md").read_text()
    assert "| hypervolume | arm | 3 |" in page and "| hypervolume | base | 4 |" in page


def test_averaged_policies_have_every_share_and_those_of_one_axis_at_the_ends(trained: Path) -> None:
    arm = evaluation(trained, policies="rl", averaged=True, steps=[2]).arms["arm"]
    assert [p.name for p in arm.points] == [f"arm/share-{s}-step-2" for s in ("0", "0.2", "0.5", "1")]
    base = load(trained / "policy")
    (value,) = arm.values(Point("arm", 0.2, "step-2"), base)
    a, b = (load(trained / "rl" / name / "step-2") for name in "ab")
    for name, parameter in value._models[0].model.named_parameters():  # type: ignore[attr-defined]
        first, second = (dict(p.model.named_parameters())[name] for p in (a, b))
        assert torch.allclose(parameter, 0.2 * first + 0.8 * second, atol=1e-6)


def test_policies_of_one_axis_are_a_value_that_mixes_them(trained: Path) -> None:
    base = load(trained / "policy")
    write_mix(trained / "rl" / "mod", list(read_policies(trained / "rl").values()), 2, {"low": "l", "short": "s"}, base)
    made = evaluation(trained, values=["rl/mod"], betas=[1])
    made.run()
    ends = [np.mean([a.steering_nats for a in read(made._answers(p))]) for p in made.points if p.share in (0, 1)]
    own = evaluation(trained, policies="rl", steps=[2])
    for policy, nats in (("b", ends[0]), ("a", ends[1])):
        point = Point("arm", float(policy == "a"), "step-2")
        engine = Engine(base, own.arms["arm"].values(point, base), EngineConfig())
        alone = answer(engine, own.sampler(point).encode(), own.arms["arm"].guidance(point), 2, 6, 0)
        assert np.mean([a.steering_nats for a in alone]) == pytest.approx(nats, rel=1e-4), policy
    other = trained / "rl" / "a" / "step-2" / "model.safetensors"
    other.write_bytes((trained / "rl" / "a" / "step-1" / "model.safetensors").read_bytes())
    with pytest.raises(RunError, match=r"begun with other settings \(values: "):
        evaluation(trained, values=["rl/mod"], betas=[1]).sample()


def test_checkpoints_may_be_added_and_not_exchanged(trained: Path) -> None:
    evaluation(trained, policies="rl", steps=[1]).sample()
    evaluation(trained, policies="rl", steps=[1, 2]).sample()
    (trained / "rl" / "a" / "step-1").rename(trained / "rl" / "a" / "gone")
    (trained / "rl" / "a" / "step-2").rename(trained / "rl" / "a" / "step-1")
    with pytest.raises(RunError, match=r"begun with other settings \(policies: "):
        evaluation(trained, policies="rl", steps=[1]).sample()


def test_what_a_run_of_policies_lacks_is_named(trained: Path) -> None:
    with pytest.raises(RunError, match=r"arms.arm.steps: b has no checkpoint 3; there: \[1, 2\]"):
        evaluation(trained, policies="rl", steps=[3]).arms  # noqa: B018
    with pytest.raises(RunError, match="has no policies; is it the folder"):
        evaluation(trained, policies="policy").arms  # noqa: B018
    path = write(trained, arms={"arm": {"policies": "rl"}}, claims=[], shares=[0.3]) / "e.yaml"
    with pytest.raises(RunError, match="one of the weights of any share"):
        build_arm("arm", load_config(path))
    assert isinstance(evaluation(trained, policies="rl").arms["arm"], PolicyArm)


def test_models_of_other_shapes_have_no_average(folder: Path) -> None:  # noqa: F811
    first, second = (load(folder / "policy") for _ in range(2))
    config = second.model.config
    config.intermediate_size += 2
    with pytest.raises(LoadError, match="other: its parameters are not those of"):
        soup([first, Policy(LlamaForCausalLM(config).eval(), None, "other")], [0.5, 0.5])


def test_regret_is_over_the_shares_that_both_have(trained: Path) -> None:
    arms = {"head": {"values": ["value"], "betas": [2]}, "own": {"policies": "rl"}}
    write(trained, arms=arms, shares=[0, 0.2, 0.5, 1], regret_to="own", budgets=[0.001], claims=[])
    findings = run(trained).report()
    found = {each.arm: each for each in findings.matched}
    assert found["own"].shares == 3 and found["head"].shares == 4
    head, own = ([[found[n].points[i][d] for d in range(2)] for i in (0, 2, 3)] for n in ("head", "own"))
    lacks = [w * (o[0] - h[0]) + (1 - w) * (o[1] - h[1]) for w, h, o in zip((0, 0.5, 1), head, own, strict=True)]
    regret = found["head"].regret
    assert regret is not None and regret.estimate == pytest.approx(sum(lacks) / 3)
