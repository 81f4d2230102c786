from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mavis_core.schedule.blocks import BlockAllocator


def test_a_shared_block_is_freed_by_its_last_holder() -> None:
    blocks = BlockAllocator(3)
    taken = blocks.allocate(2)
    blocks.share(taken[:1])
    blocks.release(taken)
    assert blocks.free == 2
    blocks.release(taken[:1])
    assert blocks.free == 3


def test_misuse_is_an_assertion() -> None:
    blocks = BlockAllocator(2)
    with pytest.raises(AssertionError, match="can_allocate"):
        blocks.allocate(3)
    with pytest.raises(AssertionError, match="held"):
        blocks.share([0])
    with pytest.raises(AssertionError, match="twice"):
        blocks.release([0])
    with pytest.raises(AssertionError, match="published"):
        blocks.publish(0, b"x")


def test_a_published_block_can_be_found_until_its_room_is_needed() -> None:
    blocks = BlockAllocator(3)
    taken = blocks.allocate(2)
    blocks.publish(taken[0], b"x")
    blocks.release(taken)
    assert blocks.free == 3
    assert blocks.find([b"x", b"y"]) == taken[:1]
    assert taken[0] not in blocks.allocate(2), "empty blocks first"
    assert blocks.allocate(1) == taken[:1]
    assert blocks.find([b"x"]) == []


def test_found_blocks_can_be_held_again() -> None:
    blocks = BlockAllocator(2)
    (block,) = blocks.allocate(1)
    blocks.publish(block, b"x")
    blocks.release([block])
    blocks.share(blocks.find([b"x"]))
    assert blocks.free == 1
    assert block not in blocks.allocate(1)


def test_the_first_block_under_a_key_stays() -> None:
    blocks = BlockAllocator(2)
    first, second = blocks.allocate(2)
    blocks.publish(first, b"x")
    blocks.publish(second, b"x")
    blocks.release([second])
    assert blocks.find([b"x"]) == [first]
    assert blocks.free == 1


def test_forgotten_blocks_are_empty() -> None:
    blocks = BlockAllocator(2)
    held, idle = blocks.allocate(2)
    blocks.publish(held, b"x")
    blocks.publish(idle, b"y")
    blocks.release([idle])
    blocks.forget()
    assert blocks.find([b"x"]) == blocks.find([b"y"]) == []
    blocks.release([held])
    assert blocks.free == 2


class Allocations(RuleBasedStateMachine):
    """Any sequence of allocate, share, release, publish, find and forget against a list of holders."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = BlockAllocator(13)
        self.held: list[list[int]] = []

    @rule(count=st.integers(0, 5))
    def allocate(self, count: int) -> None:
        others = {block for table in self.held for block in table}
        assert self.blocks.can_allocate(count) == (count <= 13 - len(others))
        if self.blocks.can_allocate(count):
            taken = self.blocks.allocate(count)
            assert len(set(taken)) == count
            assert not others & set(taken)
            self.held.append(taken)

    @rule(which=st.integers(0, 99))
    def share(self, which: int) -> None:
        if self.held:
            table = self.held[which % len(self.held)]
            self.blocks.share(table)
            self.held.append(list(table))

    @rule(which=st.integers(0, 99))
    def release(self, which: int) -> None:
        if self.held:
            self.blocks.release(self.held.pop(which % len(self.held)))

    @rule(which=st.integers(0, 99), key=st.integers(0, 9))
    def publish(self, which: int, key: int) -> None:
        if self.held and (table := self.held[which % len(self.held)]):
            self.blocks.publish(table[which % len(table)], bytes([key]))

    @rule(keys=st.lists(st.integers(0, 9), max_size=3, unique=True))
    def find(self, keys: list[int]) -> None:
        found = self.blocks.find([bytes([key]) for key in keys])
        assert len(set(found)) == len(found)
        self.blocks.share(found)
        self.held.append(found)

    @rule()
    def forget(self) -> None:
        self.blocks.forget()
        assert self.blocks.find([bytes([0])]) == []

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.blocks.free == 13 - len({block for table in self.held for block in table})


TestAllocations = Allocations.TestCase
TestAllocations.settings = settings(max_examples=25, stateful_step_count=20)
