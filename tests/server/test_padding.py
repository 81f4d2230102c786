from __future__ import annotations

from server.answers.padding import BLOCK, padding


def test_whole_blocks() -> None:
    for length in range(3 * BLOCK):
        assert (length + len(padding(b"x" * length))) % BLOCK == 0


def test_no_two_are_alike() -> None:
    assert len({padding(b"x") for _ in range(20)}) == 20
