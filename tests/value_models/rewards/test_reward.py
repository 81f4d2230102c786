"""Whatever a reward does wrong, its name is in the error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mavis_core.api.errors import RewardError
from value_models.prompts import Prompt
from value_models.rewards.imported import Imported
from value_models.rewards.normalisation import Normalisation
from value_models.rewards.registry import RewardConfig, build
from value_models.rewards.reward import Guarded

PROMPTS = [Prompt("a"), Prompt("b")]


def guarded(function: Callable[[Sequence[Prompt], Sequence[str]], Any]) -> Guarded:
    return Guarded(Imported("mine", "about", function))


def test_scores_pass_as_floats() -> None:
    def both(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[int]:
        return [len(prompt.text + response) for prompt, response in zip(prompts, responses, strict=True)]

    assert guarded(both).score(PROMPTS, ["x", "yy"]) == [2.0, 3.0]
    array = np.array([1.5, 2.5], dtype=np.float32)
    assert guarded(lambda prompts, responses: array).score(PROMPTS, ["", ""]) == [1.5, 2.5]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([1.0], "gave 1 scores for 2 responses"),
        ([1.0, math.nan], "gave nan for 'second'"),
        ([math.inf, 1.0], "gave inf for 'first'"),
        ([1.0, "2"], "gave '2' for 'second'"),
        (3.0, "raised TypeError"),
    ],
)
def test_a_wrong_result_is_refused(result: Any, message: str) -> None:
    with pytest.raises(RewardError, match=f"reward 'mine': {message}"):
        guarded(lambda prompts, responses: result).score(PROMPTS, ["first", "second"])


def test_a_reward_that_raises_is_named() -> None:
    def fails(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        raise KeyError("tone")

    with pytest.raises(RewardError, match="reward 'mine': raised KeyError: 'tone'"):
        guarded(fails).score(PROMPTS, ["", ""])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("json", "function='json': must be 'package.module:callable'"),
        ("no.such.module:f", "function='no.such.module:f': importing no.such.module raised ModuleNotFoundError"),
        ("json:dumpz", "function='json:dumpz': .* has no 'dumpz'"),
        ("json:__doc__", "function='json:__doc__': is a str, not a callable"),
    ],
)
def test_an_import_path_that_does_not_resolve(path: str, message: str) -> None:
    with pytest.raises(RewardError, match=message) as caught:
        Imported.load("mine", "", path)
    assert "reward 'mine'" in str(caught.value)


def test_an_import_path_finds_a_function_and_its_first_line() -> None:
    found = Imported.load("mine", "", "tests.value_models.rewards.test_reward:words")
    assert found.description == "How many words."
    assert found.score(PROMPTS, ["a b", ""]) == [2, 0]


def words(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[int]:
    """How many words.

    And nothing else.
    """
    return [len(response.split()) for response in responses]


def test_normalisation_weighs_samples_and_refuses_a_constant() -> None:
    rewards = np.array([[0.0, 5.0], [1.0, 5.0], [9.0, 7.0]])
    share = np.array([2.0, 2.0, 0.0])
    found = Normalisation.measure(["a"], rewards[:, :1], share)
    assert (found.mean[0], found.std[0]) == (0.5, 0.5)
    assert found.apply(rewards[:, :1])[:, 0].tolist() == [-1, 1, 17]
    with pytest.raises(RewardError, match="reward 'b': gave 5 for every one of 3 samples"):
        Normalisation.measure(["a", "b"], rewards, share)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "a:b", "classifier": "c"}, "has function and classifier: at most one of them"),
        ({"output": 1}, "output: is a setting of classifiers"),
        ({"function": "math:fsum", "probability": True}, "probability: is a setting of classifiers"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RewardError, match=f"reward 'concise': {message}"):
        build({"concise": RewardConfig(**settings)}, tmp_path)


def test_a_description_can_be_given_to_any_reward(tmp_path: Path) -> None:
    first, second = build({"concise": RewardConfig(description="brief"), "curious": RewardConfig()}, tmp_path)
    assert first.description == "brief"
    assert second.description.startswith("asks back")
