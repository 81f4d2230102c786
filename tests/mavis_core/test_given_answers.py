"""Answers that are given and not drawn: what is told of their tokens is what the engine would have drawn them from."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ChoiceDelta, Request, StepStats, TokenReport
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from mavis_core.reference import ReferenceRow, reference_generate
from mavis_core.values.protocol import ConditionedValue, ValueFunction
from tests.models import EOS, VOCAB, assert_idle, mixed_values, objective, request, run, tiny_policy
from tests.value_models.kinds.test_conditioned_head import network
from tests.value_models.kinds.test_implicit import pair
from value_models.kinds.conditioned_head import ConditionedHeadValue

POLICY = tiny_policy("llama")
PROMPT = [5, 9, 14, 7, 30]
PIRATE = PromptedObjective("pirate", (41, 42, 43, *PROMPT))


def conditioned() -> ConditionedHeadValue:
    objectives = [replace(objective(name), pull_range=(-4.0, 4.0)) for name in ("p", "q")]
    return ConditionedHeadValue("joint", objectives, network(), POLICY.readout.weight)


KINDS: dict[str, tuple[Callable[[], Sequence[ValueFunction]], dict[str, float], tuple[PromptedObjective, ...]]] = {
    "heads": (lambda: mixed_values("llama"), {"a": 1.5, "b": -1.0}, ()),
    "lm": (lambda: mixed_values("llama"), {"c": 1.5, "d": 1.0}, ()),
    "q_lm": (lambda: mixed_values("llama"), {"e": 1.5}, ()),
    "in words": (list, {"pirate": 2.0}, (PIRATE,)),
    "all of these": (lambda: mixed_values("llama"), {"a": 1.0, "d": -1.0, "e": 1.0, "pirate": 1.0}, (PIRATE,)),
    "implicit": (lambda: [pair()], {"e": 1.0, "f": -0.7}, ()),
    "conditioned": (lambda: [conditioned()], {"p": 1.0, "q": -0.5}, ()),
    "none": (list, {}, ()),
}
SAMPLING = SamplingParams(temperature=0.8, frequency_penalty=0.4, logit_bias={11: 2.0}, min_tokens=2, max_tokens=7)


def engine(values: Sequence[ValueFunction], **config: Any) -> Engine:
    return Engine(POLICY, values, EngineConfig(**{"block_size": 3, **config}))


def scored(target: Engine, *asked: Request, steps: list[StepStats] | None = None) -> dict[str, list[list[ChoiceDelta]]]:
    """The deltas of every choice of every request, by its id; ``steps`` gets the statistics."""
    found: dict[str, list[list[ChoiceDelta]]] = {}
    for each in asked:
        target.add(each)
        found[each.id] = [[] for _ in each.answers]
    while target.has_work:
        for output in target.step():
            assert output.error is None, output.error
            for delta in output.deltas:
                found[output.request_id][delta.index].append(delta)
        if steps is not None and target.last_step is not None:
            steps.append(target.last_step)
    assert_idle(target)
    return found


def reports(deltas: Sequence[ChoiceDelta]) -> list[TokenReport]:
    return [report for delta in deltas for report in delta.reports]


def scoring(
    answers: Sequence[Sequence[int]],
    guidance: Guidance,
    sampling: SamplingParams = SAMPLING,
    prompted: tuple[PromptedObjective, ...] = (),
    name: str = "given",
) -> Request:
    made = request(name, PROMPT, replace(sampling, n=len(answers)), guidance)
    return replace(made, answers=tuple(map(tuple, answers)), prompted=prompted)


def steer(weights: dict[str, float], **more: Any) -> Guidance:
    return Guidance(weights, **{"beta": 1.0, "top_k": 9, **more})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
@pytest.mark.parametrize("more", [{}, {"max_kl_per_token": 0.1}, {"normalise": "minmax"}], ids=str)
def test_what_was_drawn_gets_the_report_that_it_was_drawn_with(kind: str, more: dict[str, Any]) -> None:
    values, weights, prompted = KINDS[kind]
    if kind == "conditioned" and "normalise" in more:
        pytest.skip("a conditioned value takes the weights into account")
    target, guidance = engine(values()), steer(weights, report=True, **more)
    (drawn,) = generate(target, [PROMPT], replace(SAMPLING, n=3, seed=7), guidance, prompted=[prompted])
    found = scored(target, scoring([choice.token_ids for choice in drawn], guidance, prompted=prompted))["given"]
    for choice, deltas in zip(drawn, found, strict=True):
        assert [token for delta in deltas for token in delta.token_ids] == choice.token_ids
        told = deltas[-1].guidance
        assert told is not None and choice.guidance is not None
        assert told.steering_nats == pytest.approx(choice.guidance.steering_nats, abs=1e-4)
        assert told.truncation_nats == pytest.approx(choice.guidance.truncation_nats, abs=1e-4)
        assert told.values == pytest.approx(choice.guidance.values, abs=1e-4)
        assert told.value_spread == pytest.approx(choice.guidance.value_spread, abs=1e-4)
        for own, wanted in zip(reports(deltas), choice.reports, strict=True):
            assert own.token_id == wanted.token_id
            assert own.logprob == pytest.approx(wanted.logprob, abs=1e-4)
            assert own.base_logprob == pytest.approx(wanted.base_logprob, abs=1e-4)
            assert own.steering_nats == pytest.approx(wanted.steering_nats, abs=1e-4)
            assert own.values == pytest.approx(wanted.values, abs=1e-4)


def expected(
    values: Sequence[ValueFunction], answer: Sequence[int], guidance: Guidance, prompted: Sequence[PromptedObjective]
) -> ReferenceRow:
    return reference_generate(
        POLICY, values, PROMPT, replace(SAMPLING, seed=0), guidance, guidance.beta or 0.0, 0, prompted, answer
    )


@pytest.mark.parametrize(
    "config",
    [{}, {"max_num_batched_tokens": 4, "max_num_seqs": 4, "block_size": 1}, {"kv_cache_tokens": 30}],
    ids=["together", "in small chunks", "preempted"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_any_answers_equal_the_slow_loop(kind: str, config: dict[str, Any]) -> None:
    """Answers of random tokens, most of which are no candidates, one with stop tokens inside."""
    made, weights, prompted = KINDS[kind]
    if prompted and "kv_cache_tokens" in config:
        config = {"kv_cache_tokens": 45}  # every row is two
    values, choose = made(), random.Random(3)
    answers = [[choose.randrange(VOCAB) for _ in range(length)] for length in (12, 1, 15)] + [[EOS, 8, EOS, EOS]]
    guidance = steer(weights)
    steps: list[StepStats] = []
    found = scored(engine(values, **config), scoring(answers, guidance, prompted=prompted), steps=steps)["given"]
    assert (sum(step.preemptions for step in steps) > 0) == ("kv_cache_tokens" in config)
    outside = 0
    for answer, deltas in zip(answers, found, strict=True):
        wanted, told = expected(values, answer, guidance, prompted), reports(deltas)
        assert [report.token_id for report in told] == answer
        assert [report.logprob for report in told] == pytest.approx(wanted.logprobs, abs=2e-4)
        assert [report.base_logprob for report in told] == pytest.approx(wanted.base_logprobs, abs=2e-4)
        if weights:
            assert [report.steering_nats for report in told] == pytest.approx(wanted.steering, abs=2e-4)
            assert [report.truncation_nats for report in told] == pytest.approx(wanted.truncation, abs=2e-4)
        assert [delta.finish_reason for delta in deltas] == [None] * (len(answer) - 1) + ["length"]
        assert (deltas[-1].guidance is None) == (not weights)
        outside += sum(report.logprob == -math.inf for report in told)
    assert outside > 10 or not weights
    assert reports(found[3])[0].base_logprob == -math.inf  # min_tokens bans it


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["heads", "lm", "q_lm", "implicit", "conditioned", "in words"])
def test_values_are_told_of_every_token_also_of_those_that_are_no_candidates(kind: str) -> None:
    made, weights, prompted = KINDS[kind]
    values, answer = made(), random.Random(5).choices(range(VOCAB), k=6)
    (deltas,) = scored(engine(values), scoring([answer], steer(weights, top_k=2), prompted=prompted))["given"]
    told = reports(deltas)
    assert sum(report.logprob == -math.inf for report in told) >= 4
    for at, report in enumerate(told):
        text = torch.tensor([*PROMPT, *answer[:at]])
        hidden = POLICY.backbone.forward_plain(text)[-1]
        wanted: dict[str, float] = {}
        for value in values:
            if value.spec.conditioned:
                value = _conditioned(value, weights)
            found = value.reference(text.tolist(), [answer[at]], hidden)[0].tolist()
            wanted |= {o.name: v for o, v in zip(value.spec.objectives, found, strict=False) if o.name in weights}
        for words in prompted:
            logprobs = [
                POLICY.logits(POLICY.backbone.forward_plain(torch.tensor([*prompt, *answer[:at]]))[-1:]).log_softmax(1)
                for prompt in (words.prompt_token_ids, PROMPT)
            ]
            wanted[words.name] = float(logprobs[0][0, answer[at]] - logprobs[1][0, answer[at]])
        assert report.values == pytest.approx(wanted, abs=1e-3)


def _conditioned(value: Any, weights: dict[str, float]) -> ValueFunction:
    found: ConditionedValue = value
    return found.at([weights[o.name] for o in value.spec.objectives])


def test_a_distribution_is_whole() -> None:
    """The probabilities of all tokens after one text add up to 1, the base's too, and all but k cannot be drawn."""
    answers = [[token] for token in range(VOCAB)]
    found = scored(engine(mixed_values("llama"), max_num_seqs=70), scoring(answers, steer({"a": 2.0, "c": 1.0})))
    told = [reports(deltas)[0] for deltas in found["given"]]
    assert sum(math.exp(report.logprob) for report in told) == pytest.approx(1, abs=1e-5)
    assert sum(math.exp(report.base_logprob) for report in told) == pytest.approx(1, abs=1e-5)
    assert sum(report.logprob > -math.inf for report in told) == 9


def test_those_that_draw_beside_them_draw_the_same() -> None:
    """Seeded requests, guided and not, give the same tokens alone and in one batch with given answers."""
    others = [
        request("plain", PROMPT, SamplingParams(max_tokens=9, seed=3, n=2)),
        request("guided", PROMPT, SamplingParams(max_tokens=9, seed=4), steer({"a": 2.0})),
        request("lm", [8, 3], SamplingParams(max_tokens=9, seed=5), steer({"d": 1.0, "a": 1.0}, top_k=13)),
        replace(
            request("words", PROMPT, SamplingParams(max_tokens=9, seed=6), steer({"pirate": 2.0})), prompted=(PIRATE,)
        ),
    ]
    given = [
        scoring([[3, 1, 4, 1, 5], [9, 2, 6]], steer({"c": 1.0, "pirate": 1.0}), prompted=(PIRATE,), name="x"),
        scoring([[5, 8, 9, 7]], Guidance(), name="y"),
    ]
    alone: dict[str, dict[int, list[int]]] = {}
    for each in others:
        target = engine(mixed_values("llama"))
        target.add(each)
        alone |= run(target)
    target = engine(mixed_values("llama"))
    for each in [given[0], *others, given[1]]:
        target.add(each)
    together = run(target)
    assert together.pop("x") == {0: [3, 1, 4, 1, 5], 1: [9, 2, 6]}
    assert together.pop("y") == {0: [5, 8, 9, 7]}
    assert together == alone


def test_answers_share_the_prompt_and_count_as_scored() -> None:
    target, prompt = engine(mixed_values("llama")), 0
    target.add(scoring([[3, 1, 4], [1, 5, 9], [2]], steer({"c": 1.0})))
    scored_tokens = generated = 0
    while target.has_work:
        target.step()
        assert target.last_step is not None
        prompt += target.last_step.prompt_tokens
        scored_tokens += target.last_step.scored_tokens
        generated += target.last_step.generation_tokens
    assert (prompt, scored_tokens, generated) == (len(PROMPT), 7, 0)


def test_an_answer_whose_numbers_are_not_finite_ends_its_own_request_alone() -> None:
    values = mixed_values("llama")
    heads: Any = values[0]
    target = engine(values)
    heads._table = heads._table.clone()
    heads._table[17] = math.nan
    target.add(scoring([[17, 3], [4]], steer({"a": 1.0}), name="spoiled"))
    target.add(request("other", PROMPT, SamplingParams(max_tokens=4, seed=3)))
    errors = {output.request_id: output.error for _ in range(8) for output in target.step() if output.finished}
    assert errors["other"] is None
    assert errors["spoiled"] is not None and "not finite" in errors["spoiled"]
    assert_idle(target)
