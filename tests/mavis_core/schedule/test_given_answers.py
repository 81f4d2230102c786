from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from tests.mavis_core.rows import VOCAB, admission
from tests.models import request


@pytest.mark.parametrize(
    ("answers", "sampling", "others", "message", "param"),
    [
        ([[1], []], {"n": 2}, {}, "answers[1] has no tokens: must have at least one", "answers[1]"),
        ([[1]], {"n": 2}, {}, "answers: 1 are given: must be as many as n=2", "answers"),
        ([[1], [VOCAB]], {"n": 2}, {}, "answers[1]: token id 257 is not from 0 to 256", "answers[1]"),
        ([[1] * 29], {}, {}, "answers[0] has 29 tokens: at most 28 fit behind a prompt of 3", "answers[0]"),
        (
            [[1]],
            {},
            {"output_token_ids": (4,)},
            "output_token_ids: cannot be combined with answers, which are not drawn",
            "output_token_ids",
        ),
        (
            [[1]],
            {"structure": Structure("regex", "a")},
            {},
            "structure: cannot be combined with answers, which are not drawn",
            "structure",
        ),
        (
            [[1]],
            {"ranked": True},
            {"guidance": Guidance({"a": 1})},
            "ranked: cannot be combined with answers, which are not drawn",
            "ranked",
        ),
    ],
)
def test_answers_that_cannot_be_scored_are_refused_by_name(
    answers: list[list[int]], sampling: dict[str, Any], others: dict[str, Any], message: str, param: str
) -> None:
    asked = request("r", [3, 4, 5], SamplingParams(**sampling))
    asked = replace(asked, answers=tuple(map(tuple, answers)), **others)
    with pytest.raises(InvalidRequestError) as caught:
        admission().rows(asked)
    assert (str(caught.value), caught.value.param) == (message, param)


def test_each_choice_has_an_answer_and_ends_with_it() -> None:
    asked = replace(request("r", [3, 4, 5], SamplingParams(n=2, max_tokens=1)), answers=((1, 2), (7,) * 28))
    rows = admission().rows(asked)
    assert [row.answer for row in rows] == [(1, 2), (7,) * 28]
    assert [row.limit for row in rows] == [5, 31]
