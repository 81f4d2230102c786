"""Arms in turn, and ratios from neighbours in time."""

from __future__ import annotations

from functools import partial

from benchmarks.comparison.prompts import prompts
from benchmarks.comparison.rounds import in_turn, medians, quotient


def test_arms_run_in_turn() -> None:
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = in_turn({name: partial(run, name) for name in "ab"}, 3)
    assert order == list("ababab")
    assert found == {"a": [1, 3, 5], "b": [2, 4, 6]} and medians(found) == {"a": 3, "b": 4}


def test_a_ratio_is_the_median_of_quotients_and_not_the_quotient_of_medians() -> None:
    """A machine that gets slower all the time, with one arm twice as fast as the other."""
    assert quotient([8, 4, 2], [4, 2, 1]) == 2
    assert quotient([1, 10, 12], [1, 2, 4]) == 3  # the medians' quotient is 5


def test_prompts_differ_and_have_no_control_tokens() -> None:
    found = prompts(5, 7, 61) + prompts(5, 7, 61, start=5)
    assert len({tuple(prompt) for prompt in found}) == 10
    assert {len(prompt) for prompt in found} == {7} and min(map(min, found)) >= 6 and max(map(max, found)) < 61
