"""Which rows run in the next step, and which blocks they hold. Torch-free; owns the queue and the blocks.

Rows join and leave at any step. Running rows decode first, then prompts go on, then waiting rows are admitted: each
time one of the request that has the fewest running, in order of arrival between equals. A request of a hundred choices
takes what places are free and keeps others waiting for the next one only. How much of prompts a step reads beside rows
that decode is up to ``Pace``. When blocks run out the youngest row is preempted: its blocks are freed and it is
prefilled again later, prompt and output, which changes nothing in its text (noise is counter-based).

A row and its companions are one: they take their places together, wait for blocks together, and none of them reads its
last token before all can, because a draw needs the hidden states of all at the same token.

A row starts with the longest prefix that another row has left in the blocks. Blocks are published once a token has been
drawn from them; at least one token is always computed, because the row's next draw needs its hidden state.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from math import inf

from mavis_core.schedule.blocks import BlockAllocator
from mavis_core.schedule.kv_tables import KVTables
from mavis_core.schedule.pace import Pace
from mavis_core.schedule.row import Row
from mavis_core.schedule.track import Track
from mavis_core.schedule.waiting import WaitingRows


@dataclass(slots=True)
class PrefillChunk:
    """``count`` tokens of ``track``, which is ``row`` or a companion of it, from position ``start``; ``last`` if the
    row's next token is drawn in this step.
    """

    row: Row
    track: Track
    start: int
    count: int
    last: bool


@dataclass(slots=True)
class Plan:
    """One step.

    Attributes:
        decode: rows that feed one token and draw the next, guided ones first.
        prefill: prompt chunks of rows.
        beside: prompt chunks of companions.
        forks: (parent, child): the child draws its first token from the parent's prompt in this step.
        fresh: blocks that rows were given in this step, to be cleared before the forward.
        copies: (source, target) blocks to copy after the forward and before anything is drawn.
        preempted: rows that lost their blocks in this step.
        queried, cached: tokens of the rows admitted for the first time, and those of them read from the cache.
    """

    decode: list[Row] = field(default_factory=list)
    prefill: list[PrefillChunk] = field(default_factory=list)
    beside: list[PrefillChunk] = field(default_factory=list)
    forks: list[tuple[Row, Row]] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)
    preempted: int = 0
    queried: int = 0
    cached: int = 0

    @property
    def rows(self) -> list[Row]:
        """All that have a part in it; one of which only companions go on has none."""
        return [*self.decode, *(chunk.row for chunk in self.prefill), *(child for _, child in self.forks)]

    @property
    def decode_tokens(self) -> int:
        """Tokens that decoding rows and their companions feed."""
        return sum(row.places for row in self.decode)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of prompts that rows and companions read."""
        return sum(chunk.count for chunk in (*self.prefill, *self.beside))

    @property
    def companion_tokens(self) -> int:
        """Tokens that are computed for companions."""
        return self.decode_tokens - len(self.decode) + sum(chunk.count for chunk in self.beside)

    @property
    def empty(self) -> bool:
        return not self.decode and not self.prefill and not self.beside


class Scheduler:
    """Continuous batching over ``num_blocks`` blocks of ``block_size`` tokens.

    Args:
        max_rows: rows and companions that run together.
        max_tokens: tokens of one step.
        chunked: whether a prompt may be prefilled in parts. If not, a prompt longer than ``max_tokens`` runs
            in a step of its own.
        prefix_caching: whether rows share what they begin with.
        stretch: see ``Pace``; where prompts are read in parts.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        max_rows: int,
        max_tokens: int,
        chunked: bool,
        prefix_caching: bool,
        stretch: float = inf,
    ) -> None:
        self.blocks = BlockAllocator(num_blocks)
        self.block_size = block_size
        self._tables = KVTables(self.blocks, block_size, prefix_caching)
        self.max_rows = max_rows
        self.max_tokens = max_tokens
        self.chunked = chunked
        self._pace = Pace(stretch if chunked else inf, max_tokens)
        self.waiting = WaitingRows()
        self.running: list[Row] = []
        self._reopened: list[int] = []  # blocks that rows were given since the last step

    def add(self, row: Row) -> None:
        self.waiting.append(row)

    def schedule(self) -> Plan:
        plan = Plan(fresh=self._reopened)
        self._reopened = []
        for row in self.running:
            self._tables.publish(row)
        self._plan_decode(plan)
        budget = self._budget(plan.decode_tokens)
        for row in self.running:
            if row.prefilling and budget > 0:
                budget -= self._plan_chunks(plan, row, budget)
        if self.waiting and not plan.preempted:
            self._plan_admissions(plan, budget)
        plan.decode.sort(key=lambda row: not row.guided)
        for row in plan.decode:
            for track in row.tracks:
                track.feed(1)
        return plan

    def took(self, plan: Plan, seconds: float) -> None:
        """Tell how long the step of ``plan`` took."""
        self._pace.took(plan.decode_tokens, plan.prompt_tokens, seconds)

    def finish(self, row: Row) -> None:
        """Drop a row, waiting or running; its blocks are freed, and unpublished if its fault has spoiled them."""
        if row.fault is not None and row.fault.spoiled:
            self._tables.unpublish(row)
        else:
            self._tables.publish(row)
        self._tables.close(row)
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

    def close(self, row: Row) -> None:
        """Take the blocks of a row, waiting or running, that is to read something else; ``reopen`` it then."""
        self._tables.publish(row)
        self._tables.close(row)

    def reopen(self, row: Row) -> None:
        """Let a closed row be read again: in its place if it fits there, else it waits as a preempted one does."""
        if row not in self.running:
            return
        if self.chunked and self._taken().total() <= self.max_rows:
            fresh = self._tables.open(row)
            if fresh is not None:
                self._reopened += fresh
                return
        self.running.remove(row)
        self.waiting.appendleft(row)

    def forget_prefixes(self) -> None:
        """Empty the prefix cache."""
        self.blocks.forget()

    @property
    def usage(self) -> float:
        """Share of the blocks in use, 0 to 1."""
        return 1 - self.blocks.free / self.blocks.num_blocks

    def _plan_decode(self, plan: Plan) -> None:
        for row in list(self.running):
            if row.prefilling or row not in self.running:
                continue
            while (fresh := self._tables.grow(row)) is None:
                victim = self.running[-1]
                self._preempt(victim, plan)
                if victim is row:
                    break
            else:
                plan.fresh += fresh
                plan.decode.append(row)

    def _budget(self, decoding: int) -> int:
        """Tokens of prompts for a step that decodes so many: none, or enough for a row to read its last one
        with those of its companions.
        """
        reading = [row.places for row in self.running if row.prefilling]
        joining = len(reading) + min(len(self.waiting), self.max_rows - len(self.running))
        room, last = self._pace.room(decoding, joining), max(reading, default=0)
        return min(self.max_tokens - decoding, max(room, last)) if room else 0

    def _preempt(self, row: Row, plan: Plan) -> None:
        self.running.remove(row)
        self._tables.close(row)
        self.waiting.appendleft(row)
        if row in plan.decode:
            plan.decode.remove(row)
        plan.preempted += 1

    def _plan_admissions(self, plan: Plan, budget: int) -> None:
        taken = self._taken()
        while self.waiting and budget > 0 and (admitted := self._admit(plan, budget, taken)):
            budget -= self._plan_chunks(plan, admitted, budget)

    def _admit(self, plan: Plan, budget: int, taken: Counter[str]) -> Row | None:
        """Move the next waiting row to the running ones if it has places, blocks and budget; it joins ``taken``."""
        places = self.max_rows - taken.total()
        if places < 1:
            return None
        row = self.waiting.next(taken)
        whole = not self.chunked and not plan.empty  # alone a prompt may be longer than a step
        if row.places > places or (fresh := self._tables.open(row, budget if whole else None)) is None:
            return None
        self.waiting.remove(row)
        beside = self._places_for_forks(row, places - row.places, taken)
        late = row.forks[beside:]
        del row.forks[beside:]
        taken[row.group] += _places(row)
        for fork in reversed(late):
            self.waiting.appendleft(fork)
        plan.fresh += fresh
        if row.queued is None:
            row.queued = time.perf_counter() - row.arrived
        if row.cached_tokens is None:
            row.cached_tokens = min(row.computed, row.prompt_length)  # a resumed answer may be cached further
            plan.queried += sum(track.target for track in row.tracks)
            plan.cached += sum(track.computed for track in row.tracks)
        self.running.append(row)
        return row

    def _places_for_forks(self, row: Row, free: int, taken: Counter[str]) -> int:
        """How many fit into all that are free, less one place for each of the others that has nothing running."""
        if not row.forks:
            return 0
        others = sum(group != row.group and not taken[group] for group in self.waiting.groups)
        return max(0, free - others) // row.places

    def _taken(self) -> Counter[str]:
        """Places that each group takes: its running rows, and forks that wait for their prompt's prefill."""
        taken: Counter[str] = Counter()
        for row in self.running:
            taken[row.group] += _places(row)
        return taken

    def _plan_chunks(self, plan: Plan, row: Row, budget: int) -> int:
        """Let the prompts of a row and its companions go on by at most ``budget`` tokens; how many these are."""
        left = [track.target - track.computed for track in row.tracks]
        last = sum(left) <= budget or not self.chunked
        used = 0
        for track, tokens in zip(row.tracks, left, strict=True):
            count = tokens if last else min(budget - used, tokens - 1)
            if count > 0:
                chunks = plan.prefill if track is row else plan.beside
                chunks.append(PrefillChunk(row, track, track.computed, count, last))
                track.feed(count)
                used += count
        if last:
            self._fork(plan, row)
        return used

    def _fork(self, plan: Plan, parent: Row) -> None:
        """Give the waiting choices of ``parent`` its prompt."""
        for child in parent.forks:
            forked = self._tables.fork(parent, child)
            if forked is None:
                self.waiting.appendleft(child)
                continue
            fresh, copies = forked
            plan.fresh += fresh
            plan.copies += copies
            child.cached_tokens = 0
            plan.forks.append((parent, child))
            self.running.append(child)
        parent.forks = []


def _places(row: Row) -> int:
    """Of a running row, and of the forks that wait for its prompt."""
    return row.places * (1 + len(row.forks))
