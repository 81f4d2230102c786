from __future__ import annotations

import pytest

from mavis_core.errors import LoadError
from value_models.rewards.registry import load
from value_models.rewards.scorer import RewardScorer


def test_rewards_side_by_side() -> None:
    scorer = RewardScorer(["concise", "curious"])
    texts = ["Why?", "one two three four"]
    expected = [(load("concise")(["", ""], texts)[i], load("curious")(["", ""], texts)[i]) for i in range(2)]
    assert scorer.score(["", ""], texts) == expected
    assert scorer.names == ("concise", "curious")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LoadError, match="search_rewards: kind: must be among cheerful, concise, curious, factual"):
        RewardScorer(["concise", "kind"])
