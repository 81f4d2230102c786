from __future__ import annotations

import sys

import pytest

from mavis_core.api.errors import ConfigError
from value_models.prompts import Prompt
from value_models.rewards.cheerful import _polarity
from value_models.rewards.registry import load
from value_models.rewards.scorer import RewardScorer


def test_rewards_side_by_side() -> None:
    scorer = RewardScorer(["concise", "curious"])
    texts = ["Why?", "one two three four"]
    prompts = [Prompt(""), Prompt("")]
    expected = list(zip(*(load(name).score(prompts, texts) for name in ("concise", "curious")), strict=True))
    assert scorer.score(["", ""], texts) == expected
    assert scorer.names == ("concise", "curious")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="search_rewards: reward 'kind': must be one of cheerful, concise"):
        RewardScorer(["concise", "kind"])


def test_a_reward_whose_package_is_missing_is_refused_when_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    _polarity.cache_clear()
    with pytest.raises(ConfigError, match=r"search_rewards: reward 'cheerful'.*install mavis-server"):
        RewardScorer(["cheerful"])
