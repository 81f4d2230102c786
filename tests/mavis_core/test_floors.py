"""Floors, worst case and what is maximised in the engine: equal to the slow loop, beside rows that have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError, UnknownObjectiveError, ValueConflictError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.reference import reference_generate
from tests.models import head_value, mixed_engine, mixed_values, objective, request, tiny_policy
from tests.table import TablePolicy, TableValue

POLICY = tiny_policy("llama")
PROMPT = [5, 9, 14, 7]
PIRATE = (41, 42, 43, *PROMPT)
WORDS = (PromptedObjective("pirate", PIRATE),)
CASES: list[tuple[Guidance, tuple[PromptedObjective, ...]]] = [
    (Guidance({"a": 1.0}, beta=1.5, top_k=7, floors={"c": 0.3}), ()),
    (Guidance({"a": 1.0}, beta=1.5, top_k=7), ()),
    (Guidance({"a": 1.0}, beta=2.0, top_k=7, floors={"c": 0.5}, max_kl_per_token=0.2), ()),
    (Guidance(beta=1.5, top_k=6, floors={"pirate": 0.4}), WORDS),
    (Guidance(beta=1.5, top_k=7, worst_case=("a", "d")), ()),
    (Guidance({"b": 0.5, "c": -1.0}, beta=1.0, top_k=6, floors={"a": 0.1}, floors_relative=True), ()),
    (Guidance(top_k=7, maximise=("a", "pirate"), max_kl_per_token=0.3), WORDS),
    (Guidance({"b": 1.0}, beta=1.0, top_k=5, floors={"d": 0.0}, worst_case=("a", "c"), max_kl_per_token=0.4), ()),
    (Guidance({"a": 1.0}, beta=1.5, top_k=7, max_kl_per_token=0.1), ()),
    (Guidance(), ()),
]
SAMPLING = [SamplingParams(max_tokens=3, seed=70 + i, temperature=0.0 if i == 4 else 1.0) for i in range(len(CASES))]


def together(target: Engine) -> list[CompletionOutput]:
    guidance, words = [case[0] for case in CASES], [case[1] for case in CASES]
    return [choices[0] for choices in generate(target, [PROMPT] * len(CASES), SAMPLING, guidance, prompted=words)]


def test_mixed_batches_equal_the_reference() -> None:
    found = together(mixed_engine())
    for answer, (guidance, words), sampling in zip(found, CASES, SAMPLING, strict=True):
        expected = reference_generate(
            POLICY, mixed_values("llama"), PROMPT, sampling, guidance, guidance.beta or 1.0, 0, words
        )
        assert answer.token_ids == expected.tokens
        if answer.guidance is not None:
            assert answer.guidance.steering_nats == pytest.approx(sum(expected.steering), abs=2e-4)
            assert (answer.guidance.found_weights is not None) == guidance.solved
            if guidance.max_kl_per_token is not None:
                assert answer.guidance.steering_nats <= guidance.max_kl_per_token * answer.guidance.tokens + 1e-6


def test_each_draws_what_it_draws_alone() -> None:
    """What the solver finds does not depend on neighbours at all (``test_multipliers.py``); its input is rounded."""
    found = together(mixed_engine())
    for i in (0, 2, 4, 7):
        [[alone]] = generate(mixed_engine(), [PROMPT], SAMPLING[i], CASES[i][0], prompted=[CASES[i][1]])
        assert alone.token_ids == found[i].token_ids
        assert report(alone)[0] == pytest.approx(report(found[i])[0], abs=1e-5)
        assert report(alone)[1] == report(found[i])[1]


def table(objectives: Sequence[ObjectiveInfo]) -> Engine:
    """Of four tokens; every value is 0."""
    policy: Any = TablePolicy(torch.zeros(125, 4), 3, (0,))
    return Engine(policy, [TableValue(objectives, torch.zeros(125, len(objectives)), 4)], EngineConfig(max_num_seqs=8))


def report(answer: CompletionOutput) -> tuple[dict[str, float], dict[str, int]]:
    assert answer.guidance is not None
    return answer.guidance.found_weights or {}, answer.guidance.floors_missed or {}


def test_a_floor_that_holds_costs_nothing_and_one_out_of_reach_is_counted() -> None:
    sampling = SamplingParams(max_tokens=5, seed=1, ignore_eos=True)
    guidance = Guidance(beta=1.0, floors={"a": -64.0, "c": 64.0}, top_k=9)
    [[answer]] = generate(mixed_engine(), [PROMPT], sampling, guidance)
    weights, missed = report(answer)
    assert weights == {"a": 0.0, "c": pytest.approx(16.0)} and missed == {"a": 0, "c": 5}
    [[plain]] = generate(mixed_engine(), [PROMPT], sampling, replace(guidance, floors={"a": -64.0}))
    assert plain.guidance is not None and plain.guidance.steering_nats == pytest.approx(0.0, abs=1e-6)


def test_the_budget_wins_over_floors_and_floors_over_weights() -> None:
    sampling = SamplingParams(max_tokens=6, seed=2, ignore_eos=True)
    floors = Guidance(beta=1.0, floors={"c": 0.2}, top_k=9)
    pulled = replace(floors, weights={"c": -2.0, "a": 2.0})
    [[first], [second], [third], [fourth]] = generate(
        mixed_engine(),
        [PROMPT] * 4,
        sampling,
        [floors, pulled, replace(pulled, max_kl_per_token=0.5), replace(pulled, max_kl_per_token=0.0)],
    )
    assert report(first)[1] == report(second)[1] == {"c": 0}  # whatever weights ask for
    assert third.guidance is not None and third.guidance.steering_nats <= 6 * 0.5 + 1e-6
    assert report(third)[0]["a"] < 2.0  # weights give way
    assert fourth.guidance is not None and fourth.guidance.steering_nats == pytest.approx(0.0, abs=1e-6)
    assert report(fourth)[1]["c"] > 0


def test_maximise_spends_the_budget_and_the_worst_case_its_beta() -> None:
    sampling = SamplingParams(max_tokens=4, seed=3, ignore_eos=True)
    [[most], [worst]] = generate(
        mixed_engine(),
        [PROMPT] * 2,
        sampling,
        [Guidance(maximise=("a",), max_kl_per_token=0.25, top_k=9), Guidance(worst_case=("a", "c"), beta=2.0, top_k=9)],
    )
    assert most.guidance is not None and most.guidance.steering_nats == pytest.approx(4 * 0.25, abs=1e-4)
    assert sum(report(worst)[0].values()) == pytest.approx(1.0)


def test_an_objective_in_words_that_only_a_floor_names_is_evaluated() -> None:
    guidance = Guidance({"a": 1.0}, floors={"pirate": -0.1})
    one = replace(request("r", PROMPT, guidance=guidance), prompted=WORDS)
    assert one.places == 2
    [[answer]] = generate(
        mixed_engine(), [PROMPT], SamplingParams(max_tokens=3, seed=1), guidance, prompted=[list(WORDS)]
    )
    assert answer.guidance is not None and set(answer.guidance.values) == {"a", "pirate"}
    assert answer.guidance.companion_tokens > 0


@pytest.mark.parametrize(
    ("guidance", "param"),
    [
        (Guidance(floors={"nobody": 0.0}), "objective_weights"),
        (Guidance(floors={"low": 0.0}), "guidance.floors"),
        (Guidance(maximise=("low",), max_kl_per_token=1), "guidance.maximise"),
        (Guidance(worst_case=("a", "half")), "guidance.worst_case"),
        (Guidance(floors={"told": 0.0}), "guidance.floors"),
    ],
)
def test_what_the_loaded_objectives_do_not_allow(guidance: Guidance, param: str) -> None:
    told = replace(objective("told"), conditioned=True, pull_range=(0.0, 4.0))
    objectives = [
        objective("a"),
        objective("low", weight_range=(-2, 0)),
        objective("half", weight_range=(0, 0.5)),
        told,
    ]
    target = table(objectives)
    with pytest.raises(InvalidRequestError) as caught:
        target.add(request("r", [3], guidance=guidance))
    assert caught.value.param == param
    assert isinstance(caught.value, UnknownObjectiveError) == (param == "objective_weights")


def test_values_loaded_meanwhile_move_the_columns_of_floors() -> None:
    """And a value that only a floor names cannot be unloaded."""
    guidance = Guidance(beta=1.5, top_k=7, floors={"c": 0.3})
    one = request("r", PROMPT, SamplingParams(max_tokens=6, seed=1, ignore_eos=True), guidance)
    tokens: list[list[int]] = []
    for swap in (False, True):
        target = mixed_engine()
        target.add(one)
        drawn: list[int] = []
        while target.has_work:
            for output in target.step():
                drawn += [token for delta in output.deltas for token in delta.token_ids]
            if swap and len(drawn) == 2:
                with pytest.raises(ValueConflictError, match="in use"):
                    target.unload_value("lm-c-d")
                target.load_values([head_value(POLICY, "z", seed=9)])
                target.unload_value("head-a + head-b")
                swap = False
        tokens.append(drawn)
    assert tokens[0] == tokens[1]
