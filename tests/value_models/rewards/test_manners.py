"""Rewards for manners of speaking: the stated formulas, and texts that anybody would order the same way."""

from __future__ import annotations

import pytest

from value_models.prompts import Prompt
from value_models.rewards.manners.simple import reading_ease, syllables
from value_models.rewards.manners.wording import words
from value_models.rewards.registry import load

STIFF = "The committee recommends an evaluation of the proposal in accordance with the regulations of the institution."
CHATTY = "Hey! You're gonna love it, it's so cool, haha!!! :)"
PLAIN = "The cat sat on the mat. It is a big cat. The dog saw it and ran."
LUSH = "The golden sun sank like a coin into warm, whispering waves."
HEDGED = "It may rain, perhaps; it usually depends on the season, but I'm not sure."
KIND = "I'm so sorry, that must hurt. You are not alone, and it is okay to feel sad."
LISTED = "Do this:\n1. Boil the water.\n2) Add salt.\n- Wait."
SURE = "It rains tomorrow and never in June."


def score(name: str, *responses: str) -> list[float]:
    return list(load(name).score([Prompt("")] * len(responses), list(responses)))


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("formal", STIFF, CHATTY),
        ("simple", PLAIN, STIFF),
        ("vivid", LUSH, SURE),
        ("cautious", HEDGED, SURE),
        ("playful", CHATTY, STIFF),
        ("empathetic", KIND, SURE),
        ("structured", LISTED, PLAIN),
    ],
)
def test_they_order_texts_as_anybody_would(name: str, more: str, less: str) -> None:
    high, low = score(name, more, less)
    assert high > low + 0.2


def test_formal_counts_what_its_formula_says() -> None:
    """One article and one preposition of six words; one pronoun, one contraction, one exclamation mark."""
    assert score("formal", "The bus waits at home today.") == [pytest.approx(2 / 6)]
    assert score("formal", "He can't wait for a bus!") == [pytest.approx((2 - 1 - 1 - 1) / 6)]
    assert score("formal", "Yes!", "") == [-1.0, 0.0], "held to -1; nothing is neither"


def test_simple_is_the_stated_formula_and_lines_are_sentences() -> None:
    assert reading_ease("Bananas ripen. They do.") == pytest.approx((206.835 - 1.015 * 2 - 84.6 * 7 / 4) / 100)
    assert reading_ease("one\ntwo\nsix") == pytest.approx(1.2122), "one word a sentence, one syllable a word"
    assert score("simple", "", "incomprehensibility") == [0.0, -1.0]


@pytest.mark.parametrize(
    ("word", "count"),
    [("the", 1), ("make", 1), ("table", 2), ("jumped", 1), ("wanted", 2), ("likes", 1), ("changes", 2), ("banana", 3)],
)
def test_syllables(word: str, count: int) -> None:
    assert syllables(word) == count


def test_shares_are_of_words() -> None:
    assert score("vivid", "A red door opens as quiet as snow.", "") == [pytest.approx(3 / 8), 0.0]
    assert score("cautious", "It might be so.", "I'm not sure.") == [0.25, pytest.approx(1 / 3)]
    assert score("playful", "Hahaha that is sooo funny 😀", "Fun!!!") == [pytest.approx(4 / 5), 1.0]


def test_structured_is_the_share_of_lines_that_are_points() -> None:
    assert score("structured", LISTED, "1. One point is no list.\nAs here.", "") == [0.75, 0.0, 0.0]
    marks = "# Tea\n\n**Water**\n* hot\n• fresh\nStep 1: boil\n(a) wait\nA cup is 1.5 dl.\n12 cups\nI am full."
    assert score("structured", marks) == [6 / 9]


def test_words_are_lower_case_and_keep_their_apostrophes() -> None:
    assert words("It’s 5 O'Clock, 'tis: café_bar!") == ["it's", "o'clock", "tis", "café", "bar"]
