from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.text.detokenizer import Detokenizer, held_back
from tests.thorough import times
from tests.vocabularies import KINDS, byte_fallback, byte_tokenizer

TOKENIZER = byte_tokenizer()
BACKENDS = {kind: make().backend_tokenizer for kind, make in KINDS.items()}
EOS = 256


def feed(tokens: Sequence[int], stops: Sequence[str] = (), start: int = 0) -> tuple[list[str], str | None]:
    """The pieces as they come, the flushed rest last; the stop string that ended it. Stops count from ``start``."""
    target = Detokenizer(TOKENIZER.backend_tokenizer, stops, True)
    pieces = []
    for i, token in enumerate(tokens):
        text, stop = target.push(token, i >= start)
        pieces.append(text)
        if stop is not None:
            return pieces, stop
    return [*pieces, target.flush()], None


@pytest.mark.parametrize(
    ("text", "stops", "length"),
    [
        ("abc", ["cd"], 1),
        ("abc", ["bcd", "cx"], 2),
        ("abc", ["abc"], 0),  # a whole stop string is found, not held back
        ("abc", ["c", "xyz"], 0),
        ("aaa", ["aaab"], 3),
        ("abc", ["x"], 0),
        ("abc", [], 0),
        ("", ["ab"], 0),
    ],
)
def test_held_back_is_the_longest_tail_that_begins_a_stop(text: str, stops: list[str], length: int) -> None:
    assert held_back(text, stops) == length


def test_characters_appear_whole() -> None:
    pieces, _ = feed("aé€😀b".encode())
    assert pieces == ["a", "", "é", "", "", "€", "", "", "", "😀", "b", ""]


def test_an_unfinished_character_is_shown_at_the_end() -> None:
    pieces, _ = feed("a€".encode()[:-1])
    assert "".join(pieces) == "a\ufffd"


def test_a_stop_string_across_tokens_is_never_shown() -> None:
    pieces, stop = feed(b"hello STOP more", ["STOP"])
    assert "".join(pieces) == "hello "
    assert stop == "STOP"
    assert len(pieces) == len("hello STOP")


def test_what_looked_like_a_stop_is_released_when_it_is_none() -> None:
    pieces, stop = feed(b"STO STX", ["STOP"])
    assert "".join(pieces) == "STO STX"
    assert pieces[:4] == ["", "", "", "STO "]
    assert stop is None


def test_held_back_text_is_flushed_at_the_end() -> None:
    assert feed(b"so STO", ["STOP"])[0][-1] == "STO"


def test_the_earliest_stop_wins() -> None:
    pieces, stop = feed("ab€cd".encode(), ["cd", "€c"])
    assert ("".join(pieces), stop) == ("ab", "€c")


def test_stops_do_not_count_before_min_tokens() -> None:
    pieces, stop = feed(b"xENDyENDz", ["END"], start=5)
    assert ("".join(pieces), stop) == ("xENDy", "END")


def test_special_tokens_can_be_hidden() -> None:
    target = Detokenizer(TOKENIZER.backend_tokenizer, (), True)
    shown = Detokenizer(TOKENIZER.backend_tokenizer, (), False)
    tokens = [ord("a"), EOS, ord("b")]
    assert "".join(target.push(t, True)[0] for t in tokens) + target.flush() == "ab"
    assert "".join(shown.push(t, True)[0] for t in tokens) + shown.flush() == "a<eos>b"


def test_without_a_tokenizer_there_is_no_text() -> None:
    target = Detokenizer(None, (), True)
    assert target.push(3, True) == ("", None)
    assert target.flush() == ""


@settings(max_examples=80)
@given(st.text(max_size=20), st.lists(st.text("abé€", min_size=1, max_size=4), max_size=3))
def test_streamed_text_is_the_text_up_to_the_first_stop(text: str, stops: list[str]) -> None:
    pieces, stop = feed(text.encode(), stops)
    shown = "".join(pieces)
    ends = [text.find(s) + len(s) for s in stops if s in text]
    if not ends:
        assert (shown, stop) == (text, None)
    else:
        completed = text[: min(ends)]
        assert stop is not None
        assert completed == shown + completed[len(shown) :]
        assert completed[len(shown) :].startswith(stop)
        assert not any(s in shown for s in stops)


@settings(max_examples=50)
@given(st.binary(max_size=30))
def test_any_bytes_stream_to_what_a_whole_decode_shows(tokens: bytes) -> None:
    pieces, _ = feed(tokens)
    assert "".join(pieces) == tokens.decode(errors="replace")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=times(40, 100))
@given(st.data())
def test_stop_strings_in_the_text_of_random_tokens(kind: str, data: st.DataObject) -> None:
    """Never shown, found at the token that completes them, and no text is lost, whatever the vocabulary."""
    backend = BACKENDS[kind]
    tokens = data.draw(st.lists(st.integers(0, backend.get_vocab_size()), max_size=25))
    text = backend.decode(tokens)
    at = data.draw(st.integers(0, max(0, len(text) - 1)))
    own = text[at : at + data.draw(st.integers(1, 4))]  # one that is in the text
    stops = [*data.draw(st.lists(st.text("the \n\ufffd", min_size=1, max_size=3), max_size=2)), *([own] if own else [])]
    target = Detokenizer(backend, stops, True)
    shown = ""
    for count, token in enumerate(tokens, 1):
        piece, stop = target.push(token, True)
        shown += piece
        if stop is not None:
            assert shown + stop == backend.decode(tokens[:count])[: len(shown + stop)]
            assert not any(other in shown for other in stops)
            return
        assert not any(other in shown for other in stops)
        whole = backend.decode(tokens[:count])
        assert whole.endswith("\ufffd") or not any(other in whole for other in stops)
    assert shown + target.flush() == text


def test_a_stop_string_of_bytes_is_found_at_its_last_one() -> None:
    """A line break is a byte token in many vocabularies; what stands in bytes is held back, but not from stopping."""
    backend = byte_fallback().backend_tokenizer
    tokens = [backend.token_to_id(token) for token in ("▁the", "<0x0A>", "<0x0A>", "▁a")]
    target = Detokenizer(backend, ["\n\n"], True)
    assert [target.push(token, True) for token in tokens[:3]] == [("the", None), ("", None), ("", "\n\n")]
    before = Detokenizer(backend, ["\n"], True)
    assert before.push(tokens[1], False) == ("", None)  # min_tokens: this one does not count
    assert before.push(tokens[0], True) == ("\n the", None)
    assert before.push(tokens[1], True) == ("", "\n")


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
def test_a_prompt_that_ends_in_half_a_character_is_no_text_of_the_answer(kind: str) -> None:
    backend = BACKENDS[kind]
    half = backend.encode("hello 😀", add_special_tokens=False).ids[:-1]
    answer = backend.encode("a", add_special_tokens=False).ids[-1]
    target = Detokenizer(backend, ["hello"], True, half)
    piece, stop = target.push(answer, True)
    assert (piece.strip(), stop) == ("a", None)
    finished = Detokenizer(backend, ["hello"], True, half)
    whole = backend.encode("hello 😀", add_special_tokens=False).ids
    assert finished.push(whole[-1], True)[0] + finished.flush() == "😀"


def test_the_first_word_keeps_the_space_that_the_prompt_calls_for() -> None:
    tokenizer = BACKENDS["metaspace"]
    prompt, answer = tokenizer.encode("hello world").ids, tokenizer.encode("how are you").ids
    for before, text in ((prompt, " how are you"), ([], "how are you")):
        detokenizer = Detokenizer(tokenizer, (), True, before)
        assert "".join(detokenizer.push(token, True)[0] for token in answer) + detokenizer.flush() == text
