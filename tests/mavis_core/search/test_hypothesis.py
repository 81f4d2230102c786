from __future__ import annotations

from mavis_core.api.messages import GuidanceStats
from mavis_core.search.hypothesis import Hypothesis, common_length


def test_what_all_begin_with() -> None:
    texts = [(1, 2, 3), (1, 2), (1, 2, 4, 5)]
    assert common_length([Hypothesis(text) for text in texts]) == 2
    assert common_length([Hypothesis((1, 2))]) == 2
    assert common_length([Hypothesis((1,)), Hypothesis((2,))]) == 0


def test_a_text_that_goes_on_sums_nats_and_weighs_means_by_tokens() -> None:
    first = Hypothesis((1, 2, 3), guidance=GuidanceStats(0.5, 3, 1.0, 0.5, 0.25, {"a": 1.0}, 0.8, {"a": 2.0}), score=7)
    part = Hypothesis((4,), guidance=GuidanceStats(0.5, 1, 2.0, 0.5, 0.5, {"a": 5.0}, 0.4, {"a": 6.0}))
    whole = first.follow(part)
    assert whole.token_ids == (1, 2, 3, 4)
    assert whole.guidance == GuidanceStats(0.5, 4, 3.0, 1.0, 0.75, {"a": 2.0}, 0.7000000000000001, {"a": 3.0})
    assert whole.score == 0, "the score was of the shorter text"
