from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mavis_core.blocks import BlockAllocator


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


class Allocations(RuleBasedStateMachine):
    """Any sequence of allocate, share and release against a list of holders."""

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

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.blocks.free == 13 - len({block for table in self.held for block in table})


TestAllocations = Allocations.TestCase
TestAllocations.settings = settings(max_examples=25, stateful_step_count=20)
