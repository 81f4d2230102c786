from __future__ import annotations

from dataclasses import replace

import pytest

from mavis_core.api.messages import TokenReport
from mavis_core.search.scorer import standardise, text_values, weighted
from tests.models import objective


def test_a_texts_value_is_the_last_ones_or_the_sum() -> None:
    reports = [TokenReport(t, -1.0, -1.0, 0.0, 0.0, {"a": float(t), "b": float(t)}) for t in (2, 3, 7)]
    objectives = [objective("a"), replace(objective("b"), additive=True)]
    assert text_values(reports, objectives) == {"a": 7, "b": 12}


def test_rewards_are_scaled_as_the_values_of_their_objectives() -> None:
    objectives = [replace(objective("a"), reward_mean=1.0, reward_std=2.0), objective("b")]
    assert standardise(["b", "a", "x"], [4.0, 5.0, 6.0], objectives) == {"b": 4.0, "a": 2.0}


def test_scores_are_weighted_and_those_without_weight_need_not_be_there() -> None:
    assert weighted({"a": 2.0, "b": -1.0, "c": 0.0}, {"a": 3.0, "b": 4.0, "d": 9.0}) == 2.0
    with pytest.raises(KeyError):
        weighted({"a": 2.0}, {})
