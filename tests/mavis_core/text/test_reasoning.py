"""Which tokens belong to the reasoning, for markers that are one token, special or not, and for spelled ones."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.reasoning import Reasoning
from mavis_core.text.reasoning import ReasoningTracker
from tests.vocabularies import KINDS, byte_tokenizer

THINK = Reasoning("<think>", "</think>")
OPENED = Reasoning("<think>", "</think>", opened=True)


def vocabulary(special: bool | None) -> PreTrainedTokenizerFast:
    """Bytes, and unless ``special`` is None both markers as tokens."""
    tokenizer = byte_tokenizer()
    if special is not None:
        tokenizer.add_tokens([AddedToken(mark, special=special) for mark in ("<think>", "</think>")])
    return tokenizer


@pytest.mark.parametrize("special", [None, False, True])
@pytest.mark.parametrize(
    ("reasoning", "pieces", "place"),
    [
        (THINK, [("\n <think>a</thi", True), ("nk>", True), ("b</think>c", False)], "behind"),
        (THINK, [("hi <think>a</think>", False)], "behind"),
        (THINK, [("<think>a", True)], "inside"),
        (THINK, [(" \n", False)], "before"),
        (OPENED, [("a<think></think>", True), ("b", False)], "behind"),
        (OPENED, [("</think>", True), ("\n", False)], "behind"),
        (OPENED, [("é</think", True)], "inside"),
    ],
)
def test_places(special: bool | None, reasoning: Reasoning, pieces: list[tuple[str, bool]], place: str) -> None:
    tokenizer = vocabulary(special)
    tracker = ReasoningTracker(tokenizer.backend_tokenizer, reasoning)
    reasoned = 0
    for text, belongs in pieces:
        tokens = tokenizer.encode(text, add_special_tokens=False)
        took = [tracker.push(token) for token in tokens]
        assert took[-1] == tracker.took == belongs
        reasoned += len(tokens) if belongs else 0
    assert tracker.place == place
    assert tracker.tokens == reasoned, "also those of the mark, which only its last one told"
    assert tracker.opening == (None if special is None else tokenizer.convert_tokens_to_ids("<think>"))


@pytest.mark.parametrize("kind", KINDS)
def test_other_vocabularies(kind: str) -> None:
    tokenizer = KINDS[kind]()
    tokenizer.add_tokens([AddedToken("</think>", special=True)])
    tracker = ReasoningTracker(tokenizer.backend_tokenizer, OPENED)
    for token in tokenizer.encode("the end", add_special_tokens=False):
        assert tracker.push(token)
    assert tracker.push(tokenizer.convert_tokens_to_ids("</think>"))
    assert not tracker.push(tokenizer.encode("the", add_special_tokens=False)[0])


def test_a_token_with_more_behind_the_mark_belongs_to_it() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken("k>\n\nSo", special=False)])
    tracker = ReasoningTracker(tokenizer.backend_tokenizer, OPENED)
    assert [tracker.push(t) for t in tokenizer.encode("</think>\n\nSo")][-1]
    assert tracker.place == "behind"


@pytest.mark.parametrize(("begin", "end", "name"), [("", "x", "begin"), ("x", " y", "end"), ("x", "y" * 129, "end")])
def test_marks_are_checked(begin: str, end: str, name: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"reasoning: {name}="):
        Reasoning(begin, end)
