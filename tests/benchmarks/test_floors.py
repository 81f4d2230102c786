"""What docs/theory.md says of floors on token MDPs: every step is at its optimum, and what that is worth to texts."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import floors


@pytest.fixture(scope="module")
def ways() -> dict[str, Any]:
    """Of the first MDP, two states of each level compared with the slow method."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floors, "STATES_COMPARED", 2)
        found: dict[str, Any] = floors.exactly(0)["ways"]
        return found


def test_every_step_is_at_the_optimum_that_the_slow_method_finds(ways: dict[str, Any]) -> None:
    assert max(way["apart"] for way in ways.values()) < 1e-4
    assert max(way["short"] for way in ways.values()) <= 1e-4


def test_relative_floors_hold_for_whole_texts_and_absolute_ones_need_not(ways: dict[str, Any]) -> None:
    weighed, absolute, relative = (ways[name] for name in list(ways)[1:4])
    assert weighed["b above the base model"] < -0.5
    assert relative["missed"] == 0 and relative["b above the base model"] >= 0
    assert -0.05 < absolute["b above the base model"] < 0 < relative["a"] - ways["base"]["a"]


def test_the_worst_case_of_each_step_is_not_that_of_the_text(ways: dict[str, Any]) -> None:
    equal, worst = ways["equal weights"], ways["worst case"]
    assert worst["least"] < equal["least"] and worst["nats"] > equal["nats"]
