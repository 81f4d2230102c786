"""The rewards that ship, on texts whose score is known, and what importing them may not need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mavis_core.api.errors import RewardError
from value_models.prompts import Prompt
from value_models.rewards.factual import SHIPPED, SubjectivityClassifier, ngrams
from value_models.rewards.registry import load, names


def score(name: str, *responses: str) -> list[float]:
    return list(load(name).score([Prompt("")] * len(responses), list(responses)))


def test_concise_counts_words_down_to_its_floor() -> None:
    assert score("concise", "", "one", "a b  c\nd e", "w " * 59, "w " * 500) == [0, -0.05, -0.25, -2.95, -3]


@pytest.mark.parametrize("text", ["Why?", "So. Why? ", 'He asked "why?"', "(Really?)", "Really?!", "What??\n"])
def test_curious_is_one_where_a_question_ends_the_response(text: str) -> None:
    assert score("curious", text) == [1.0]


def test_curious_is_a_half_for_a_question_inside_and_zero_without() -> None:
    assert score("curious", "Why? I like it.", "I like it.", "") == [0.5, 0.0, 0.0]


def test_cheerful_orders_texts_by_sentiment() -> None:
    pytest.importorskip("vaderSentiment")
    good, plain, bad = score("cheerful", "I love it, that is wonderful!", "It is a bus.", "I hate this awful thing.")
    assert -1 <= bad < -0.5 < plain == 0.0 < 0.5 < good <= 1


def test_cheerful_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from value_models.rewards import cheerful

    cheerful._polarity.cache_clear()
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(ImportError, match=r"mavis-server\[train\]"):
        score("cheerful", "x")


def test_factual_prefers_statements_to_opinions() -> None:
    fact, opinion = score("factual", "The street address is 377 Santana Row.", "I love it, it is such a great movie!")
    assert opinion < 0.2 < 0.7 < fact


def test_factual_ignores_case_punctuation_and_repetition() -> None:
    assert len(set(score("factual", "He lives in Paris.", "he lives in paris", "HE LIVES , in Paris !"))) == 1


def test_factual_is_the_stated_formula(tmp_path: Path) -> None:
    vocabulary = ["0", "at 0", "bus", "the bus"]
    (tmp_path / "config.json").write_text(json.dumps({"vocabulary": vocabulary}))
    weights = np.array([1.0, 2.0, 3.0, 5.0], dtype=np.float32)
    save_file({"weights": weights, "bias": np.array([-0.5], dtype=np.float32)}, tmp_path / "model.safetensors")
    classifier = SubjectivityClassifier.from_folder(tmp_path)
    expected = 1 / (1 + np.exp(0.5 - (1 + 2 + 3 + 5) / np.sqrt(4)))
    assert classifier.probability("The bus at 8, the bus at 9.") == pytest.approx(expected)
    assert classifier.probability("unknown words") == pytest.approx(1 / (1 + np.exp(0.5)))


def test_a_folder_whose_parts_disagree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"vocabulary": ["a", "b"]}))
    tensors = {"weights": np.zeros(3, dtype=np.float32), "bias": np.zeros(1, dtype=np.float32)}
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"2 n-grams in config\.json but 3 weights"):
        SubjectivityClassifier.from_folder(tmp_path)


def test_ngrams_drop_the_domain_and_merge_digits() -> None:
    assert ngrams("It's Movie No. 9!") == ["it's", "no", "0", "it's no", "no 0"]


def test_the_shipped_classifier_states_its_held_out_accuracy_and_is_small() -> None:
    config = json.loads((SHIPPED / "config.json").read_text(encoding="utf-8"))
    assert config["training"]["accuracy_held_out"] >= 0.88
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 1_500_000


def test_every_reward_has_its_own_name_and_scores_nothing_as_nothing() -> None:
    assert [load(name).name for name in names()] == names()
    assert all(load(name).score([], []) == [] for name in names() if name != "cheerful")


def test_an_unknown_reward_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RewardError, match="'funny': must be one of cheerful, concise, curious, factual, formal"):
        load("funny")


def test_rewards_import_without_torch_sklearn_and_vader() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'sklearn', 'transformers', 'vaderSentiment'): sys.modules[name] = None\n"
        "from value_models.rewards.registry import load\n"
        "assert load('factual').score([None], ['The bus leaves at 8.'])[0] > 0.5\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
