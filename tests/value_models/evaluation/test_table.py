from __future__ import annotations

import math

import numpy as np
import pytest

from value_models.evaluation.points import BASE, Point
from value_models.evaluation.sampling import SampledAnswer
from value_models.evaluation.table import distinct2, tabulate


def test_distinct_2() -> None:
    """the cat, cat the, the cat / the cat: two of four pairs."""
    assert distinct2(["The cat, the cat!", "the cat"]) == 0.5
    assert math.isnan(distinct2(["one", ""]))


def test_samples_of_a_prompt_are_averaged_and_rewards_keep_their_place() -> None:
    def answer(prompt: int, sample: int, kl: float) -> SampledAnswer:
        return SampledAnswer(prompt, sample, "a b", "stop", 2, 2, kl, 0.5, math.log(8), 0.25)

    answers = [answer(0, 0, 1.0), answer(0, 1, 3.0), answer(1, 0, 5.0), answer(1, 1, 5.0)]
    rewards = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 1.0], [7.0, 0.0]])
    table = tabulate([Point(BASE)], [answers], [rewards])
    assert table.steering.tolist() == [[2.0, 5.0]]
    assert table.rewards.tolist() == [[[2.0, 0.0], [6.0, 0.5]]]
    assert table.perplexity(0) == pytest.approx(math.sqrt(8))
    assert table.distinct2.tolist() == [0.25]
    assert table.base_correlation[0, 1] == pytest.approx(np.corrcoef(rewards.T)[0, 1])
