from __future__ import annotations

from typing import Any

import pytest

from mavis_core.api.errors import ContextLengthError, InvalidRequestError, UnknownObjectiveError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.schedule.seeds import row_key
from tests.mavis_core.rows import STOP, VOCAB, admission
from tests.models import request

LONGEST = 31


@pytest.mark.parametrize(
    ("prompt", "sampling", "guidance", "message", "param"),
    [
        ([], {}, {}, "the prompt is empty: at least one token is needed", "prompt"),
        ([3, VOCAB], {}, {}, "prompt: token id 257 is not in 0 to 256", "prompt"),
        ([-1, 3], {}, {}, "prompt: token id -1 is not in 0 to 256", "prompt"),
        ([3], {"stop_token_ids": (300,)}, {}, "stop_token_ids: token id 300 is not in 0 to 256", "stop_token_ids"),
        ([3], {"logit_bias": {257: 1.0}}, {}, "logit_bias: token id 257 is not in 0 to 256", "logit_bias"),
        (
            [3],
            {"stop_token_ids": tuple(range(VOCAB))},
            {},
            "stop_token_ids: every token of the vocabulary would stop the answer",
            "stop_token_ids",
        ),
        ([3], {"stop": ("x",)}, {}, "stop: this engine has no tokenizer, use stop_token_ids", "stop"),
        (
            [3],
            {},
            {"c": -0.5},
            "objective_weights.c=-0.5: this value accepts 0 to 2",
            "objective_weights.c",
        ),
    ],
)
def test_requests_that_the_model_cannot_serve_are_refused_by_name(
    prompt: list[int], sampling: dict[str, Any], guidance: dict[str, float], message: str, param: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        admission().rows(request("r", prompt, SamplingParams(**sampling), Guidance(guidance)))
    assert (str(caught.value), caught.value.param) == (message, param)


def test_unknown_objectives_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownObjectiveError) as caught:
        admission().rows(request("r", [3], guidance=Guidance({"a": 1, "joy": 0, "x": 1})))
    assert str(caught.value) == "objective_weights: unknown objective 'joy', 'x'; known: a, b, c"
    assert caught.value.param == "objective_weights"


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 2])
def test_a_prompt_that_leaves_no_room_is_refused(length: int) -> None:
    with pytest.raises(ContextLengthError, match=rf"the prompt has {length} tokens: at most 30 .* context of 31"):
        admission().rows(request("r", [3] * length))


@pytest.mark.parametrize(("length", "most", "limit"), [(5, None, 31), (5, 4, 9), (30, None, 31), (30, 100, 31)])
def test_the_limit_is_what_is_asked_for_and_fits(length: int, most: int | None, limit: int) -> None:
    (row,) = admission().rows(request("r", [3] * length, SamplingParams(max_tokens=most)))
    assert row.limit == limit


def test_choices_differ_in_index_and_noise_and_wait_for_the_first() -> None:
    first, *others = admission().rows(request("r", [3, 5], SamplingParams(n=3, seed=-9)))
    assert first.forks == others
    assert [row.index for row in (first, *others)] == [0, 1, 2]
    assert [row.key for row in (first, *others)] == [row_key(-9, i) for i in range(3)]
    first.tokens.append(8)
    assert others[0].tokens == [3, 5]


def test_the_models_own_stops_come_first_unless_ignored() -> None:
    (row,) = admission().rows(request("r", [3], SamplingParams(stop_token_ids=(9,))))
    assert (row.stop_ids, row.eos_count) == ((STOP, 9), 1)
    (row,) = admission().rows(request("r", [3], SamplingParams(stop_token_ids=(9,), ignore_eos=True)))
    assert (row.stop_ids, row.eos_count) == ((9,), 0)


def test_all_tokens_may_stop_if_the_models_own_are_ignored() -> None:
    others = tuple(token for token in range(VOCAB) if token != STOP)
    (row,) = admission().rows(request("r", [3], SamplingParams(stop_token_ids=others, ignore_eos=True)))
    assert STOP not in row.stop_ids


def test_weights_are_in_the_engines_order_and_named_ones_are_reported() -> None:
    (row,) = admission().rows(request("r", [3], guidance=Guidance({"c": 2.0, "a": 0.0})))
    assert (row.weights, row.named) == ((0.0, 0.0, 2.0), (0, 2))
    (row,) = admission().rows(request("r", [3], guidance=Guidance({"a": 0.0})))
    assert (row.guided, row.beta, row.weights, row.named) == (False, 0.0, (), ())


@pytest.mark.parametrize(
    ("weights", "beta", "used"),
    [({"a": 1}, None, 1.0), ({"b": -2}, None, 3.0), ({"a": 3, "b": -1}, None, 1.5), ({"a": 1, "b": 1}, 0.25, 0.25)],
)
def test_beta_is_the_requests_or_the_recommended_one(
    weights: dict[str, float], beta: float | None, used: float
) -> None:
    (row,) = admission().rows(request("r", [3], guidance=Guidance(weights, beta=beta)))
    assert row.beta == used


@pytest.mark.parametrize(
    ("sampling", "guidance", "banned"),
    [
        ({}, {}, [False, False, False]),
        ({"min_tokens": 2}, {}, [True, True, False]),
        ({}, {"weights": {"a": 1}}, [True, False, False]),
        ({}, {"weights": {"a": 1}, "allow_empty": True}, [False, False, False]),
        ({"min_tokens": 1}, {"weights": {"a": 1}, "allow_empty": True}, [True, False, False]),
    ],
)
def test_stop_tokens_are_banned_at_first(
    sampling: dict[str, Any], guidance: dict[str, Any], banned: list[bool]
) -> None:
    (row,) = admission().rows(request("r", [3], SamplingParams(**sampling), Guidance(**guidance)))
    found = []
    for _ in range(3):
        found.append(row.banned)
        row.tokens.append(5)
    assert found == banned
