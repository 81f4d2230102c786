"""Text token by token is what the tokenizer's own decoder makes of all tokens at once, for random tokens of every kind
of vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.text.byte_run import HELD
from mavis_core.text.running_text import RunningText
from mavis_core.text.token_bytes import TokenBytes
from tests.thorough import times
from tests.vocabularies import KINDS, ODD_KINDS

FALLBACK_BYTE = 3  # id of <0x00>


@cache
def backend(kind: str) -> Any:
    return (KINDS | ODD_KINDS)[kind]().backend_tokenizer


@cache
def pieces(kind: str) -> TokenBytes:
    return TokenBytes(backend(kind))


def read(kind: str, tokens: Sequence[int], before: Sequence[int] = (), skip: bool = True) -> list[str]:
    """The pieces as they come, what is left last."""
    text = RunningText(pieces(kind), skip, before)
    return [*(text.add(token) for token in tokens), text.close()]


def added(kind: str, tokens: Sequence[int], before: Sequence[int], skip: bool) -> str | None:
    """By whole decodes; None where they say nothing, ``before`` reading differently once more follows."""
    alone = backend(kind).decode(list(before), skip_special_tokens=skip)
    both = backend(kind).decode([*before, *tokens], skip_special_tokens=skip)
    return both[len(alone) :] if both.startswith(alone) and not alone.endswith("\ufffd") else None


def byte_tokens(data: bytes) -> list[int]:
    return [FALLBACK_BYTE + byte for byte in data]


@pytest.mark.parametrize("kind", [*KINDS, *ODD_KINDS])
@settings(max_examples=times(30, 60))
@given(st.data())
def test_it_is_what_a_whole_decode_says(kind: str, data: st.DataObject) -> None:
    """Ids that no token has included."""
    size = backend(kind).get_vocab_size()
    token = st.integers(0, size + 2)
    tokens = data.draw(st.lists(token, max_size=25))
    before = data.draw(st.lists(token, max_size=5))
    skip = data.draw(st.booleans())
    shown = "".join(read(kind, tokens, before, skip))
    assert "".join(read(kind, tokens, (), skip)) == backend(kind).decode(tokens, skip_special_tokens=skip)
    expected = added(kind, tokens, before, skip)
    if expected is not None and not (before and before[-1] in pieces(kind).lone):
        assert shown == expected


@settings(max_examples=80)
@given(st.lists(st.sampled_from([b"a", b" ", b"\n", "é".encode(), "😀".encode(), b"\xff", b"\xe2", b"\x82"])))
def test_rows_of_bytes_are_what_a_whole_decode_says(parts: list[bytes]) -> None:
    tokens = byte_tokens(b"".join(parts)[:HELD])
    assert "".join(read("byte_fallback", tokens)) == backend("byte_fallback").decode(tokens)


@given(st.binary(max_size=40))
def test_any_bytes_of_a_byte_level_vocabulary(data: bytes) -> None:
    ids = {pieces("byte_level")(i, i): i for i in range(backend("byte_level").get_vocab_size())}
    tokens = [ids[bytes([byte])] for byte in data]
    assert "".join(read("byte_level", tokens)) == data.decode(errors="replace")


def test_one_wrong_byte_makes_all_of_its_row_replacement_characters() -> None:
    word = backend("byte_fallback").token_to_id("▁the")
    assert read("byte_fallback", [word, *byte_tokens("€".encode()), *byte_tokens(b"\xff"), word]) == [
        "the", "", "", "", "\ufffd" * 4, " the", "",
    ]  # fmt: skip


def test_a_row_that_is_text_for_long_comes_out_as_it_comes() -> None:
    """Scripts that a vocabulary has no word of are written in bytes alone."""
    found = read("byte_fallback", byte_tokens("ကခ".encode() * 20))
    assert "".join(found) == "ကခ" * 20
    assert found[HELD] != ""
    assert max(map(len, found[HELD + 3 :])) == 1
    spoiled = read("byte_fallback", byte_tokens("ကခ".encode() * 20 + b"\xff\xff"))
    assert "".join(spoiled) == "ကခ" * 20 + "\ufffd\ufffd"


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"\x98\x80!", "😀!"),  # finished: shown whole
        (b"!\xc3\xa9", "!é"),  # not gone on with: nothing of it is shown
        (b"\x98", "\ufffd"),  # gone on with and left: the answer's part of it is no character either
        (b"", ""),
    ],
)
def test_a_character_that_the_tokens_before_begin(kind: str, answer: bytes, text: str) -> None:
    half = "a😀".encode()[:-2]
    if kind == "byte_fallback":
        before, tokens = byte_tokens(half), byte_tokens(answer)
    else:
        ids = {pieces(kind)(i, i): i for i in range(backend(kind).get_vocab_size())}
        before, tokens = [ids[bytes([b])] for b in half], [ids[bytes([b])] for b in answer]
    assert "".join(read(kind, tokens, before)) == text


def test_tokens_have_two_forms_and_special_ones_theirs() -> None:
    table = pieces("byte_fallback")
    the, bare = (backend("byte_fallback").token_to_id(token) for token in ("▁the", "the"))
    assert (table(the, None), table(the, bare), table(bare, the)) == (b"the", b" the", b"the")
    assert (table(1, None), table(1, the)) == (b"<s>", b"<s>")
    assert table(FALLBACK_BYTE + 0xE2, the) == b"\xe2"
    assert table(10**6, the) == b""
