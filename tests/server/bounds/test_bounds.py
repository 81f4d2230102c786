"""What a request asks for, brought within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mavis_core.api.guidance import Guidance
from mavis_core.api.search_params import SearchParams
from server.bounds.bounds import Bounds, Range
from server.weights import Source, Weights
from tests.models import objective

KNOWN = {"a": objective("a", 2.0), "b": objective("b", 5.0)}


def weights(bounds: dict[str, Any], asked: dict[str, float], source: Source = "body") -> tuple[Weights, dict[str, Any]]:
    return Bounds.model_validate({"weights": bounds}).bound_weights(Weights(asked, source))


def guidance(bounds: dict[str, Any], **asked: Any) -> tuple[Guidance, dict[str, Any]]:
    return Bounds.model_validate(bounds).bound_guidance(Guidance(**{"weights": {"a": 1.0}, **asked}), KNOWN)


@pytest.mark.parametrize(
    ("bounds", "asked", "made", "told"),
    [
        ({}, {"a": 9.0}, {"a": 9.0}, []),
        ({"a": {"floor": -1, "ceiling": 1}}, {"a": 0.5}, {"a": 0.5}, []),
        ({"a": {"floor": -1, "ceiling": 1}}, {"a": 4.0}, {"a": 1.0}, ["a"]),
        ({"a": {"floor": -1, "ceiling": 1}}, {"a": -4.0, "b": 3.0}, {"a": -1.0, "b": 3.0}, ["a"]),
        ({"a": {"floor": 0.5}}, {"b": 1.0}, {"a": 0.5, "b": 1.0}, ["a"]),
        ({"a": {"ceiling": -0.5}}, {}, {"a": -0.5}, ["a"]),
        ({"a": 2}, {"a": 1.0}, {"a": 2.0}, ["a"]),
        ({"a": 2}, {"a": 2.0}, {"a": 2.0}, []),
        ({"a": 0}, {"a": 1.0}, {"a": 0.0}, ["a"]),
        ({"*": {"floor": -1, "ceiling": 1}}, {"pirate": 16.0, "a": -3.0}, {"pirate": 1.0, "a": -1.0}, ["pirate", "a"]),
        ({"*": 0, "a": {"ceiling": 2}}, {"pirate": 16.0, "a": 3.0}, {"pirate": 0.0, "a": 2.0}, ["pirate", "a"]),
    ],
)
def test_weights(bounds: dict[str, Any], asked: dict[str, float], made: dict[str, float], told: list[str]) -> None:
    found, changed = weights(bounds, asked)
    assert (found.values, found.source) == (made, "body")
    assert changed == {f"objective_weights.{name}": made[name] for name in told}


def test_a_request_that_names_no_weights_says_where_they_are_from() -> None:
    assert weights({"a": 2}, {}, "none")[0] == Weights({"a": 2.0}, "bounds")
    assert weights({"b": {"ceiling": 2}}, {}, "none")[0] == Weights({}, "none")


@pytest.mark.parametrize(
    ("bounds", "asked", "told"),
    [
        ({}, {"beta": 64.0}, {}),
        ({"beta": {"ceiling": 3}}, {"beta": 4.0}, {"beta": 3.0}),
        ({"beta": {"ceiling": 3}}, {}, {}),
        ({"beta": {"ceiling": 1.5}}, {}, {"beta": 1.5}),
        ({"beta": {"ceiling": 3}}, {"weights": {"a": 1.0, "b": -1.0}}, {"beta": 3.0}),
        ({"beta": {"floor": 3}}, {"beta": 0}, {"beta": 3.0}),
        ({"beta": {"ceiling": 3}}, {"weights": {"a": 0.0}, "beta": 9.0}, {}),
        ({"max_kl_per_token": {"ceiling": 0.5}}, {}, {"max_kl_per_token": 0.5}),
        ({"max_kl_per_token": {"ceiling": 0.5}}, {"max_kl_per_token": 0.1}, {}),
        ({"max_kl_per_token": {"ceiling": 0.5}}, {"max_kl_per_token": 2.0}, {"max_kl_per_token": 0.5}),
    ],
)
def test_strength(bounds: dict[str, Any], asked: dict[str, Any], told: dict[str, float]) -> None:
    made, changed = guidance(bounds, **asked)
    assert changed == {f"guidance.{name}": value for name, value in told.items()}
    assert made == Guidance(**{"weights": {"a": 1.0}, **asked, **told})


def test_a_held_weight_cannot_be_turned_down_by_other_means() -> None:
    asked: dict[str, Any] = {"beta": 0, "max_kl_per_token": 0, "top_k": 1, "scope": "reasoning"}
    made, told = guidance({"weights": {"a": 1}}, **asked, search=SearchParams("best_of", tilt=False))
    assert (made.beta, made.max_kl_per_token, made.top_k, made.scope) == (2.0, 0.2, 40, "answer")
    assert made.search is not None and made.search.tilt
    assert set(told) == {f"guidance.{name}" for name in (*asked, "search.tilt")}
    stronger = guidance({"weights": {"a": 1}}, beta=9.0, scope="all", top_k=200, max_kl_per_token=1.0)
    assert stronger[1] == {}, "more is not less"
    operators, _ = guidance(
        {"weights": {"a": 1}, "beta": {"floor": 0.5, "ceiling": 1}, "max_kl_per_token": 0.1}, **asked
    )
    assert (operators.beta, operators.max_kl_per_token) == (0.5, 0.1), "unless the operator says so"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"weights": {"a": {"floor": 2, "ceiling": 1}}}, "floor 2 is above ceiling 1"),
        ({"weights": {"a": 17}}, "weights.a: 17 must be -16 to 16"),
        ({"beta": {"ceiling": 65}}, "beta: 65 must be 0 to 64"),
        ({"max_kl_per_token": {"floor": -1}}, "max_kl_per_token: -1 must be 0 to 1000"),
        ({"weights": {"*": 1}}, "must have 0 in it"),
        ({"weights": {"a": "much"}}, "valid dictionary"),
        ({"weights": {"a": True}}, "valid dictionary"),
        ({"weights": {"a": float("nan")}}, "finite"),
        ({"max_beta": 1}, "Extra inputs"),
    ],
)
def test_bounds_that_make_no_sense(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Bounds.model_validate(wrong)


def test_a_range_of_a_range() -> None:
    assert Range(floor=-1, ceiling=2).within(-4, 4) == (-1, 2)
    assert Range(ceiling=9).within(-4, 4) == (-4, 4)
