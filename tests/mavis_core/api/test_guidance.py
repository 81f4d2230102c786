from __future__ import annotations

import math
from typing import Any

import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance


@pytest.mark.parametrize(
    ("settings", "message", "param"),
    [
        ({"weights": {"a": 16.5}}, "objective_weights.a=16.5: must be -16 to 16", "objective_weights.a"),
        ({"weights": {"a": math.nan}}, "objective_weights.a=nan: must be -16 to 16", "objective_weights.a"),
        ({"weights": {"a": 1e9}}, "objective_weights.a=1e+09: must be -16 to 16", "objective_weights.a"),
        ({"weights": {"a": True}}, "objective_weights.a=True: must be a number from -16 to 16", "objective_weights.a"),
        ({"beta": -1}, "guidance.beta=-1: must be 0 to 64", "guidance.beta"),
        ({"beta": 65}, "guidance.beta=65: must be 0 to 64", "guidance.beta"),
        ({"top_k": 0}, "guidance.top_k=0: must be 1 to 256", "guidance.top_k"),
        ({"top_k": 257}, "guidance.top_k=257: must be 1 to 256", "guidance.top_k"),
        ({"top_k": 2.0}, "guidance.top_k=2.0: must be an integer from 1 to 256", "guidance.top_k"),
        (
            {"max_kl_per_token": -0.1},
            "guidance.max_kl_per_token=-0.1: must be 0 to 1000",
            "guidance.max_kl_per_token",
        ),
        ({"normalise": "softmax"}, "guidance.normalise='softmax': must be 'none' or 'minmax'", "guidance.normalise"),
    ],
)
def test_wrong_guidance_is_refused_by_name(settings: dict[str, Any], message: str, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Guidance(**settings)
    assert (str(caught.value), caught.value.param) == (message, param)


@pytest.mark.parametrize(
    ("guidance", "active"),
    [
        (Guidance(), False),
        (Guidance(beta=2.0), False),
        (Guidance({"a": 0.0, "b": 0.0}, beta=2.0), False),
        (Guidance({"a": 1.0}, beta=0), False),
        (Guidance({"a": 1.0}), True),
        (Guidance({"a": 0.0, "b": -16.0}, beta=64, top_k=256), True),
        (Guidance(floors={"a": 0.0}), True),
        (Guidance(maximise=("a",), max_kl_per_token=0.1), True),
        (Guidance(worst_case=("a", "b")), True),
    ],
)
def test_only_a_weight_and_a_strength_make_a_request_guided(guidance: Guidance, active: bool) -> None:
    assert guidance.active is active


def test_what_is_named_and_what_steers() -> None:
    guidance = Guidance({"a": 1.0, "b": 0.0}, floors={"c": 1}, worst_case=("d", "a"))
    assert guidance.named == ("a", "b", "c", "d")
    assert [guidance.steers(name) for name in "abcde"] == [True, False, True, True, False]
    assert not Guidance({"a": 1.0}, beta=0).steers("a")
