"""Which rows run in the next step, and which blocks they hold. Torch-free; owns the queue and the blocks.

Rows join and leave at any step. Running rows decode first, then prompts go on, then waiting rows are admitted: each
time one of the request that has the fewest running, in order of arrival between equals. A request of a hundred choices
takes what places are free and keeps others waiting for the next one only. When blocks run out the youngest row is
preempted: its blocks are freed and it is prefilled again later, prompt and output, which changes nothing in its text
(noise is counter-based).

A row starts with the longest prefix that another row has left in the blocks. Blocks are published once the step that
filled them is over; at least one token is always computed, because the row's next draw needs its hidden state.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from mavis_core.schedule.blocks import BlockAllocator
from mavis_core.schedule.prefix_keys import extend_keys
from mavis_core.schedule.row import Row
from mavis_core.schedule.waiting import WaitingRows


@dataclass(slots=True)
class PrefillChunk:
    """``count`` tokens of ``row`` from position ``start``; ``last`` if its next token is drawn in this step."""

    row: Row
    start: int
    count: int
    last: bool


@dataclass(slots=True)
class Plan:
    """One step.

    Attributes:
        decode: rows that feed one token and draw the next, guided ones first.
        prefill: prompt chunks.
        forks: (parent, child): the child draws its first token from the parent's prompt in this step.
        fresh: blocks that rows were given in this step, to be cleared before the forward.
        copies: (source, target) blocks to copy after the forward and before anything is drawn.
        preempted: rows that lost their blocks in this step.
        queried, cached: tokens of the rows admitted for the first time, and those of them read from the cache.
    """

    decode: list[Row] = field(default_factory=list)
    prefill: list[PrefillChunk] = field(default_factory=list)
    forks: list[tuple[Row, Row]] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)
    preempted: int = 0
    queried: int = 0
    cached: int = 0

    @property
    def rows(self) -> list[Row]:
        """All that have a part in it."""
        return [*self.decode, *(chunk.row for chunk in self.prefill), *(child for _, child in self.forks)]

    @property
    def empty(self) -> bool:
        return not self.decode and not self.prefill


class Scheduler:
    """Continuous batching over ``num_blocks`` blocks of ``block_size`` tokens.

    Args:
        max_rows: rows that run together.
        max_tokens: tokens of one step.
        chunked: whether a prompt may be prefilled in parts. If not, a prompt longer than ``max_tokens`` runs
            in a step of its own.
        caching: whether rows share what they begin with.
    """

    def __init__(
        self, num_blocks: int, block_size: int, max_rows: int, max_tokens: int, chunked: bool, prefix_caching: bool
    ) -> None:
        self.blocks = BlockAllocator(num_blocks)
        self.block_size = block_size
        self.max_rows = max_rows
        self.max_tokens = max_tokens
        self.chunked = chunked
        self.prefix_caching = prefix_caching
        self.waiting = WaitingRows()
        self.running: list[Row] = []

    def add(self, row: Row) -> None:
        self.waiting.append(row)

    def schedule(self) -> Plan:
        plan = Plan()
        for row in self.running:
            self._publish(row)
        self._plan_decode(plan)
        budget = self.max_tokens - len(plan.decode)
        for row in self.running:
            if row.prefilling:
                budget -= self._plan_chunk(plan, row, budget)
        if self.waiting and not plan.preempted:
            self._plan_admissions(plan, budget)
        plan.decode.sort(key=lambda row: not row.guided)
        for row in plan.decode:
            row.computed += 1
        return plan

    def finish(self, row: Row) -> None:
        """Forget a row wherever it is; its blocks are freed, and kept from others if its fault has spoiled them."""
        if row.fault is not None and row.fault.spoiled:
            self.blocks.unpublish(row.blocks)
        else:
            self._publish(row)
        self.blocks.release(row.blocks)
        row.blocks = []
        if row in self.running:
            self.running.remove(row)
        elif row in self.waiting:
            self.waiting.remove(row)
        else:  # beside a parent that is not prefilled yet
            for parent in (*self.running, *self.waiting):
                if row in parent.forks:
                    parent.forks.remove(row)
        for fork in row.forks:
            self.waiting.appendleft(fork)
        row.forks = []

    def forget_prefixes(self) -> None:
        """Empty the prefix cache."""
        self.blocks.forget()

    @property
    def usage(self) -> float:
        """Share of the blocks in use, 0 to 1."""
        return 1 - self.blocks.free / self.blocks.num_blocks

    def _allocate(self, plan: Plan, count: int) -> list[int]:
        blocks = self.blocks.allocate(count)
        plan.fresh += blocks
        return blocks

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def _plan_decode(self, plan: Plan) -> None:
        for row in list(self.running):
            if row.prefilling or row not in self.running:
                continue
            missing = self._blocks_for(len(row.tokens) + 1) - len(row.blocks)
            while missing > 0 and not self.blocks.can_allocate(missing):
                victim = self.running[-1]
                self._preempt(victim, plan)
                if victim is row:
                    break
            else:
                if missing > 0:
                    row.blocks += self._allocate(plan, missing)
                plan.decode.append(row)

    def _preempt(self, row: Row, plan: Plan) -> None:
        self.running.remove(row)
        self.blocks.release(row.blocks)
        row.blocks, row.computed, row.published = [], 0, 0
        self.waiting.appendleft(row)
        if row in plan.decode:
            plan.decode.remove(row)
        plan.preempted += 1

    def _plan_admissions(self, plan: Plan, budget: int) -> None:
        taken = self._taken()
        while self.waiting and budget > 0 and (admitted := self._admit(plan, budget, taken)):
            budget -= self._plan_chunk(plan, admitted, budget)

    def _admit(self, plan: Plan, budget: int, taken: Counter[str]) -> Row | None:
        """Move the next waiting row to the running ones if it has a place, blocks and budget; it joins ``taken``."""
        places = self.max_rows - taken.total()
        if places < 1:
            return None
        row = self.waiting.next(taken)
        cached = self._cached(row)
        computed = len(cached) * self.block_size
        needed = self._blocks_for(len(row.tokens) + 1) - len(cached)
        alone = not plan.decode and not plan.prefill
        whole = self.chunked or len(row.tokens) - computed <= budget or alone
        self.blocks.share(cached)  # before the count of free ones: they may be among those
        if not self.blocks.can_allocate(needed) or not whole:
            self.blocks.release(cached)
            return None
        self.waiting.remove(row)
        beside = self._places_for_forks(row, places - 1, taken)
        late = row.forks[beside:]
        del row.forks[beside:]
        taken[row.group] += 1 + len(row.forks)
        for fork in reversed(late):
            self.waiting.appendleft(fork)
        row.blocks = cached + self._allocate(plan, needed)
        row.computed, row.target = computed, len(row.tokens)
        if row.queued is None:
            row.queued = time.perf_counter() - row.arrived
        if row.cached_tokens is None:
            row.cached_tokens = min(computed, row.prompt_length)  # a resumed answer may be cached further
            plan.queried += row.target
            plan.cached += computed
        self.running.append(row)
        return row

    def _places_for_forks(self, row: Row, free: int, taken: Counter[str]) -> int:
        """All that are free, less one for each of the others that has nothing running."""
        if not row.forks:
            return 0
        others = sum(group != row.group and not taken[group] for group in self.waiting.groups)
        return max(0, free - others)

    def _taken(self) -> Counter[str]:
        """Places of each group: its running rows, and the forks that wait for a prompt that is being prefilled."""
        taken: Counter[str] = Counter()
        for row in self.running:
            taken[row.group] += 1 + len(row.forks)
        return taken

    def _cached(self, row: Row) -> list[int]:
        """The blocks of the longest cached prefix of ``row``, one token at least left out."""
        if not self.prefix_caching or row.scores_prompt:
            return []
        most = (len(row.tokens) - 1) // self.block_size
        extend_keys(row.keys, row.tokens, self.block_size, most)
        return self.blocks.find(row.keys[1 : most + 1])

    def _publish(self, row: Row) -> None:
        """Let others find the blocks that ``row`` has filled in finished steps."""
        full = row.computed // self.block_size
        if self.prefix_caching and full > row.published:
            extend_keys(row.keys, row.tokens, self.block_size, full)
            for block in range(row.published, full):
                self.blocks.publish(row.blocks[block], row.keys[block + 1])
            row.published = full

    def _plan_chunk(self, plan: Plan, row: Row, budget: int) -> int:
        remaining = row.target - row.computed
        count = min(budget, remaining) if self.chunked else remaining
        if count <= 0:
            return 0
        last = count == remaining
        plan.prefill.append(PrefillChunk(row, row.computed, count, last))
        row.computed += count
        if last:
            self._fork(plan, row)
        return count

    def _fork(self, plan: Plan, parent: Row) -> None:
        """Give the waiting choices of ``parent`` its prompt: full blocks shared, the last one copied."""
        full = parent.target // self.block_size
        for child in parent.forks:
            own = len(parent.blocks) - full
            if not self.blocks.can_allocate(own):
                self.waiting.appendleft(child)
                continue
            self.blocks.share(parent.blocks[:full])
            child.blocks = parent.blocks[:full] + self._allocate(plan, own)
            child.computed = child.target = parent.target
            child.keys, child.cached_tokens = list(parent.keys), 0
            if parent.target % self.block_size:
                plan.copies.append((parent.blocks[full], child.blocks[full]))
            plan.forks.append((parent, child))
            self.running.append(child)
        parent.forks = []
