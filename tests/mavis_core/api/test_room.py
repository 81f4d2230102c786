from __future__ import annotations

import itertools

import pytest

from mavis_core.api.room import Room


def test_one_prompt_has_what_the_context_leaves() -> None:
    room = Room(31, 5, 7, 5)
    assert [room.answer([length]) for length in (1, 30, 31, 40)] == [30, 1, 0, -9]


@pytest.mark.parametrize("block", [1, 3, 5])
def test_several_prompts_have_what_context_and_blocks_leave_to_all(block: int) -> None:
    """As counted one token at a time."""
    for prompts in itertools.product((1, 4, 11, 29), repeat=3):
        room, most = Room(31, 5, 60 // block, block), -1
        for answer in range(32 - max(prompts)):
            if sum(-(-(prompt + answer) // block) for prompt in prompts) <= 60 // block:
                most = answer
        assert room.answer(prompts) == most
