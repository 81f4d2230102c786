"""The queue beside the plain list that it stands for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mavis_core.schedule.row import Row
from mavis_core.schedule.waiting import WaitingRows
from tests.mavis_core.rows import rows

GROUPS = "abc"
MOVES = st.lists(st.tuples(st.sampled_from(["append", "appendleft", "remove", "next"]), st.integers(0, 9)), max_size=40)


def row(group: str) -> Row:
    return rows([1, 2], group=group)[0]


def next_of(queue: list[Row], taken: Counter[str]) -> Row:
    return min(queue, key=lambda row: taken[row.group])  # the first of equals


@given(MOVES, st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_it_is_the_list_it_stands_for(moves: list[tuple[str, int]], counts: list[int]) -> None:
    taken = Counter(dict(zip(GROUPS, counts, strict=True)))
    waiting, plain = WaitingRows(), list[Row]()
    for move, number in moves:
        if move == "append":
            plain.append(row(GROUPS[number % 3]))
            waiting.append(plain[-1])
        elif move == "appendleft":
            plain.insert(0, row(GROUPS[number % 3]))
            waiting.appendleft(plain[0])
        elif plain and move == "remove":
            waiting.remove(gone := plain.pop(number % len(plain)))
            assert gone not in waiting
        elif plain:
            assert waiting.next(taken) is next_of(plain, taken)
        assert len(waiting) == len(plain) and set(waiting) == set(plain)
        assert waiting.groups == {each.group for each in plain}
        assert all(each in waiting for each in plain)


def test_a_row_that_does_not_wait_cannot_leave() -> None:
    waiting, stranger = WaitingRows(), row("a")
    with pytest.raises(ValueError, match="row r does not wait"):
        waiting.remove(stranger)
    waiting.append(row("a"))
    with pytest.raises(ValueError, match="row r does not wait"):
        waiting.remove(stranger)


def test_the_next_of_thousands_of_one_group_is_found_at_once() -> None:
    """Counted, not timed: one look per group."""
    looks = []

    class Places(Counter[str]):
        def __getitem__(self, group: str) -> int:
            looks.append(group)
            return 0

    waiting, many = WaitingRows(), [row("a") for _ in range(300)]
    for each in many:
        waiting.append(each)
    assert waiting.next(Places()) is many[0] and looks == ["a"]
