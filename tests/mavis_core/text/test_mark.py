"""A mark is found however tokens cut it, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from mavis_core.text.mark import Mark
from tests.models import byte_tokenizer


@pytest.mark.parametrize(
    ("text", "found_after"),
    [("<call>", 6), ("say <<call> x", 11), ("<call", None), ("<ca<call>", 9), ("<cal l>", None), ("é<call>", 8)],
)
def test_where_a_mark_ends(text: str, found_after: int | None) -> None:
    mark, passed = Mark(byte_tokenizer().backend_tokenizer, ["[other(", "<call>"]), []
    for byte in text.encode():
        mark.add(byte)
        passed.append(mark.passed)
    assert passed == [found_after is not None and i >= found_after for i in range(1, len(text.encode()) + 1)]


def test_an_empty_mark_is_there_at_once() -> None:
    assert Mark(byte_tokenizer().backend_tokenizer, ["x", ""]).passed


def test_special_tokens_are_read_too() -> None:
    tokenizer = byte_tokenizer()
    special = max(tokenizer.all_special_ids)
    mark = Mark(tokenizer.backend_tokenizer, [tokenizer.decode([special])])
    mark.add(special)
    assert mark.passed
