"""The scheduler alone: who runs, who waits, who holds which block."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.schedule.row import Row
from mavis_core.schedule.scheduler import Plan, Scheduler
from tests.mavis_core.rows import rows

TOKEN = 11


def scheduler(
    num_blocks: int = 17,
    block: int = 3,
    rows: int = 5,
    tokens: int = 13,
    chunked: bool = True,
    prefix_caching: bool = False,
    stretch: float = inf,
) -> Scheduler:
    return Scheduler(num_blocks, block, rows, tokens, chunked, prefix_caching, stretch)


def add(target: Scheduler, length: int, n: int = 1, name: str = "r", limit: int = 5, guided: bool = False) -> list[Row]:
    guidance = Guidance({"a": 1.0}) if guided else None
    found = rows([TOKEN] * length, SamplingParams(n=n, max_tokens=limit), guidance, name)
    target.add(found[0])
    return found


def drawing(plan: Plan) -> list[Row]:
    return [*plan.decode, *(chunk.row for chunk in plan.prefill if chunk.last), *(child for _, child in plan.forks)]


def advance(target: Scheduler) -> Plan:
    """One step: every drawing row gets a token, rows at their limit finish."""
    plan = target.schedule()
    for row in drawing(plan):
        row.tokens.append(TOKEN)
        if len(row.tokens) >= row.limit:
            row.finish_reason = "length"
            target.finish(row)
    return plan


def check(target: Scheduler, plan: Plan, known: list[Row]) -> None:
    """What holds after every ``schedule``."""
    holders = Counter(block for row in known for block in row.blocks)
    assert target.blocks.free == target.blocks.num_blocks - len(holders), "a block is held by no row, or lost"
    assert len(target.running) <= target.max_rows
    assert not {id(row) for row in target.running} & {id(row) for row in target.waiting}
    fed = len(plan.decode) + sum(chunk.count for chunk in plan.prefill)
    assert fed <= target.max_tokens or (not target.chunked and not plan.decode and len(plan.prefill) == 1)
    rows_of_plan = [id(row) for row in (*plan.decode, *(c.row for c in plan.prefill), *(c for _, c in plan.forks))]
    assert len(rows_of_plan) == len(set(rows_of_plan)), "a row is planned twice"
    for row in drawing(plan):
        assert row.computed == len(row.tokens), "a row draws before all its tokens are in the cache"
        assert len(row.blocks) * target.block_size > len(row.tokens), "no slot for the token that will be drawn"
        assert holders[row.blocks[len(row.tokens) // target.block_size]] == 1, "the next token's block is shared"
    for row in plan.decode:
        assert holders[row.blocks[(len(row.tokens) - 1) // target.block_size]] == 1, "the fed token's block is shared"
    for chunk in plan.prefill:
        written = chunk.row.blocks[
            chunk.start // target.block_size : -(-(chunk.start + chunk.count) // target.block_size)
        ]
        forked = len([parent for parent, _ in plan.forks if parent is chunk.row])
        assert all(holders[block] <= 1 + forked for block in written), "a block that another row reads is written"
    for row in target.waiting:
        assert not row.blocks
        assert row.computed == 0
    guided = [row.guided for row in plan.decode]
    assert guided == sorted(guided, reverse=True), "guided rows come first"


def test_rows_decode_while_a_long_prompt_is_prefilled_in_chunks() -> None:
    target = scheduler()
    (short,) = add(target, 2, limit=9)
    advance(target)
    (long,) = add(target, 29, name="long")
    counts = []
    while long.output_length == 0:
        plan = advance(target)
        assert plan.decode == [short]
        counts += [(chunk.start, chunk.count, chunk.last) for chunk in plan.prefill]
    assert counts == [(0, 12, False), (12, 12, False), (24, 5, True)]


def test_without_chunks_a_prompt_is_prefilled_whole_and_too_long_ones_alone() -> None:
    target = scheduler(chunked=False)
    (short,) = add(target, 2, limit=3)
    (long,) = add(target, 20, name="long")
    plans = [advance(target) for _ in range(4)]
    assert [[(c.row, c.count) for c in plan.prefill] for plan in plans] == [[(short, 2)], [], [], [(long, 20)]]


def test_rows_are_admitted_in_order_of_arrival() -> None:
    target = scheduler(rows=2)
    added = [add(target, 2, name=str(i), limit=2)[0] for i in range(5)]
    order = []
    while target.waiting or target.running:
        order += [chunk.row for chunk in advance(target).prefill]
    assert order == added


def test_how_long_a_row_waited_is_known_once_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One place: the second row waits for the first to end, and preemption does not count again."""
    target = scheduler(rows=1)
    (first,), (second,) = add(target, 3, limit=2), add(target, 3, name="s", limit=2)
    first.arrived, second.arrived = 100.0, 101.0
    for now, expected in ((104.0, (4.0, None)), (105.0, (4.0, None)), (107.0, (4.0, 6.0)), (109.0, (4.0, 6.0))):
        monkeypatch.setattr("mavis_core.schedule.scheduler.time.perf_counter", lambda now=now: now)
        advance(target)
        assert (first.queued, second.queued) == expected


def admitted(target: Scheduler) -> list[str]:
    plan = advance(target)
    return [row.group for row in (*(chunk.row for chunk in plan.prefill), *(child for _, child in plan.forks))]


def test_a_request_of_many_choices_leaves_the_next_place_to_others() -> None:
    target = scheduler(num_blocks=99, rows=3, tokens=99)
    choices = add(target, 2, n=8, name="many", limit=4)
    assert admitted(target) == ["many"] * 3, "nobody else is there: all places"
    target.finish(choices[0])
    add(target, 2, name="a", limit=20)
    add(target, 2, name="b", limit=20)
    assert admitted(target) == ["a"]
    target.finish(choices[1])
    assert admitted(target) == ["b"]
    assert admitted(target) == [], "no place is free"
    target.finish(choices[2])
    assert admitted(target) == ["many"]


def test_choices_that_arrive_with_others_take_what_those_leave() -> None:
    target = scheduler(num_blocks=99, rows=5, tokens=99)
    add(target, 2, n=8, name="many", limit=9)
    add(target, 2, name="a", limit=9)
    add(target, 2, name="b", limit=9)
    assert sorted(admitted(target)) == ["a", "b", "many", "many", "many"]


def test_the_prompts_of_one_group_take_their_turns_as_one() -> None:
    target = scheduler(num_blocks=99, rows=2, tokens=99)
    batch = [rows([TOKEN] * 2, SamplingParams(max_tokens=2), name=f"batch {i}", group="batch")[0] for i in range(4)]
    for row in batch:
        target.add(row)
    assert admitted(target) == ["batch", "batch"]
    add(target, 2, name="late", limit=2)
    order = [name for _ in range(4) for name in admitted(target)]
    assert order == ["batch", "late", "batch"], "not behind the whole batch"


def test_a_fork_shares_full_blocks_and_copies_the_half_filled_one() -> None:
    target = scheduler()
    parent, first, second = add(target, 7, n=3)
    plan = target.schedule()
    assert plan.forks == [(parent, first), (parent, second)]
    assert plan.copies == [(parent.blocks[2], first.blocks[2]), (parent.blocks[2], second.blocks[2])]
    assert parent.blocks[:2] == first.blocks[:2] == second.blocks[:2]
    assert target.blocks.free == 17 - (2 + 3)


def test_a_fork_at_a_block_boundary_copies_nothing() -> None:
    target = scheduler()
    parent, child = add(target, 6, n=2)
    plan = target.schedule()
    assert plan.copies == []
    assert parent.blocks[:2] == child.blocks[:2]
    assert parent.blocks[2] != child.blocks[2]


def test_more_choices_than_rows_run_in_turns() -> None:
    target = scheduler(rows=3)
    choices = add(target, 2, n=8, limit=2)
    most = 0
    for _ in range(30):
        advance(target)
        most = max(most, len(target.running))
    assert most <= 3
    assert all(row.finish_reason == "length" for row in choices)
    assert target.blocks.free == 17


def test_the_youngest_row_is_preempted_and_continues_later() -> None:
    target = scheduler(num_blocks=4, block=3)
    (old,) = add(target, 4, name="old", limit=7)
    (young,) = add(target, 4, name="young", limit=7)
    finished = []
    preempted = 0
    for _ in range(40):
        preempted += advance(target).preempted
        finished += [row for row in (old, young) if row.finish_reason and row not in finished]
    assert preempted > 0
    assert finished == [old, young]
    assert (old.output_length, young.output_length) == (7, 7)
    assert target.blocks.free == 4


def test_a_finished_parent_leaves_its_choices_waiting() -> None:
    target = scheduler()
    parent, child = add(target, 2, n=2)
    target.finish(parent)
    assert list(target.waiting) == [child]


def test_usage_is_the_share_of_blocks_held() -> None:
    target = scheduler(num_blocks=8)
    add(target, 5)
    target.schedule()
    assert target.usage == 0.25


def finish(target: Scheduler, name: str, tokens: list[int], output: int = 1, **request: Any) -> Row:
    """Run a row alone; it draws ``output`` tokens."""
    (row,) = rows(tokens, SamplingParams(max_tokens=output), name=name, **request)
    target.add(row)
    while row.finish_reason is None:
        advance(target)
    return row


def cached(target: Scheduler, tokens: list[int], **request: Any) -> int | None:
    return finish(target, "probe", tokens, **request).cached_tokens


def test_a_row_starts_with_the_full_blocks_that_another_left() -> None:
    target = scheduler(prefix_caching=True)
    text = list(range(20, 31))
    assert cached(target, text) == 0
    assert target.usage == 0
    assert cached(target, text) == 9
    assert cached(target, [*text[:7], 99, 99]) == 6
    assert cached(target, [99, *text]) == 0
    assert cached(target, text[:3]) == 0, "the last token of a prompt is always computed"
    assert cached(target, text[:4]) == 3


def test_a_chunk_begins_after_what_was_cached_and_is_counted_once() -> None:
    target = scheduler(prefix_caching=True)
    text = list(range(20, 31))
    finish(target, "first", text)
    (row,) = rows(text, name="second")
    target.add(row)
    plan = target.schedule()
    assert [(chunk.start, chunk.count, chunk.last) for chunk in plan.prefill] == [(9, 2, True)]
    assert (plan.queried, plan.cached) == (11, 9)


def test_what_a_row_answered_is_cached_too() -> None:
    """The next turn of a conversation begins with the last one's prompt and answer."""
    target = scheduler(prefix_caching=True)
    row = finish(target, "turn", list(range(20, 24)), output=6)
    assert cached(target, [*row.tokens, 50]) == 9


def test_running_rows_share_what_they_have_computed() -> None:
    target = scheduler(prefix_caching=True)
    text = list(range(20, 27))
    add_tokens = [rows(text, SamplingParams(max_tokens=9), name=name)[0] for name in ("old", "same step", "later")]
    target.add(add_tokens[0])
    target.add(add_tokens[1])
    advance(target)
    target.add(add_tokens[2])
    advance(target)
    old, same, later = add_tokens
    assert (old.cached_tokens, same.cached_tokens, later.cached_tokens) == (0, 0, 6)
    assert later.blocks[:2] == old.blocks[:2]
    assert same.blocks[0] != old.blocks[0]
    target.finish(old)
    assert target.blocks.free == 17 - len(set(same.blocks) | set(later.blocks))


def test_without_caching_nothing_is_shared() -> None:
    target = scheduler()
    text = list(range(20, 31))
    finish(target, "first", text)
    assert cached(target, text) == 0


def test_the_salt_and_the_values_that_read_it_separate_a_prefix() -> None:
    target = scheduler(prefix_caching=True)
    text = list(range(20, 31))
    guided, other = Guidance({"c": 1.0}, beta=1.0), Guidance({"a": 1.0}, beta=1.0)
    finish(target, "plain", text)
    assert cached(target, text, guidance=other) == 9, "a head keeps no cache: it may read the plain row's"
    assert cached(target, text, guidance=guided) == 0, "the value's pool holds nothing for the plain row"
    assert cached(target, text, guidance=guided) == 9
    assert cached(target, text, salt="mine") == 0
    assert cached(target, text, salt="mine") == 9


def test_the_longest_unused_goes_first_and_a_rows_end_before_its_beginning() -> None:
    target = scheduler(num_blocks=6, prefix_caching=True)
    old, new = list(range(20, 27)), list(range(40, 47))
    finish(target, "old", old)
    finish(target, "new", new)
    finish(target, "long", [99] * 8)  # three blocks: the two that hold nothing, and the end of the old text
    assert cached(target, old[:5]) == 3
    assert cached(target, new) == 6


def test_a_row_that_scores_its_prompt_reads_no_cache() -> None:
    target = scheduler(prefix_caching=True)
    text = list(range(20, 31))
    finish(target, "first", text)
    (row,) = rows(text, SamplingParams(prompt_logprobs=0), name="scored")
    target.add(row)
    assert target.schedule().prefill[0].start == 0


def test_forgotten_prefixes_are_computed_again() -> None:
    target = scheduler(prefix_caching=True)
    text = list(range(20, 31))
    finish(target, "first", text)
    target.forget_prefixes()
    assert cached(target, text) == 0
    assert target.blocks.free == 17


@settings(max_examples=100)
@given(st.data())
def test_no_history_leaks_a_block_or_starves_a_row(data: st.DataObject) -> None:
    """Random arrivals, aborts and finishes, with so few blocks that rows are preempted."""
    block = data.draw(st.integers(1, 4), "block")
    longest = data.draw(st.integers(4, 23), "longest")
    least = -(-longest // block)
    num_blocks = data.draw(st.integers(least, 2 * least + 3), "blocks")
    most = data.draw(st.integers(1, 5), "rows")
    tokens, chunked, prefix_caching, stretch = data.draw(
        st.tuples(st.integers(most, 17), st.booleans(), st.booleans(), st.sampled_from([inf, 1.2])), "settings"
    )
    target = Scheduler(num_blocks, block, most, tokens, chunked, prefix_caching, stretch)
    known: list[Row] = []
    for i in range(data.draw(st.integers(1, 20), "events")):
        event = data.draw(st.sampled_from(["add", "abort", "step", "step"]))
        if event == "add":
            length = data.draw(st.integers(1, longest - 1))
            limit = data.draw(st.integers(1, longest - length))
            known += add(target, length, data.draw(st.integers(1, 7)), str(i), limit, data.draw(st.booleans()))
        elif event == "abort" and known:
            name = data.draw(st.sampled_from(known)).request.id
            for row in [row for row in known if row.request.id == name]:
                row.forks = []
                row.finish_reason = row.finish_reason or "stop"
                target.finish(row)
        else:
            check(target, plan := target.schedule(), known)
            target.took(plan, data.draw(st.floats(0, 1), "seconds"))
            for row in drawing(plan):
                row.tokens.append(TOKEN)
                if len(row.tokens) >= row.limit:
                    row.finish_reason = "length"
                    target.finish(row)
    for _ in range(sum(row.limit for row in known) * 6 + 20):
        if not (target.waiting or target.running):
            break
        check(target, plan := target.schedule(), known)
        target.took(plan, 0.1 + 0.1 * plan.prompt_tokens)
        for row in drawing(plan):
            row.tokens.append(TOKEN)
            if len(row.tokens) >= row.limit:
                row.finish_reason = "length"
                target.finish(row)
    assert all(row.finish_reason for row in known), "a row starved"
    assert target.blocks.free == num_blocks


def test_a_prompt_beside_rows_that_decode_is_read_in_parts_that_stretch_a_step_by_so_much() -> None:
    target = scheduler(num_blocks=99, tokens=50, rows=9, stretch=1.5)
    for i in range(2):
        add(target, 2, name=f"decodes {i}", limit=28)
    advance(target)
    read = []
    for number in range(20):
        if not target.waiting:
            add(target, 28, name=f"long {number}", limit=1)
        plan = advance(target)
        assert len(plan.decode) == 2
        read.append(plan.prompt_tokens)
        target.took(plan, 1.0 + 0.05 * plan.prompt_tokens)  # ten tokens are half a step
    assert read[:2] == [0, 28], "a step without prompts is measured first"
    assert sum(read) > 120
    assert all(part <= 10 for part in read[4:])


def test_in_a_burst_those_who_wait_count_like_those_who_read() -> None:
    target = scheduler(num_blocks=99, tokens=200, rows=9, stretch=1.5)
    add(target, 2, name="decodes", limit=28)
    advance(target)
    for i in range(8):
        add(target, 20, name=f"waits {i}", limit=20)
    target.took(advance(target), 1.0)  # without prompts, to be measured
    assert advance(target).prompt_tokens == 160


def test_where_prompts_are_not_read_in_parts_no_step_is_too_long() -> None:
    target = scheduler(num_blocks=99, tokens=50, chunked=False, stretch=1.5)
    add(target, 5, name="decodes", limit=20)
    advance(target)
    add(target, 28, name="long")
    assert advance(target).prompt_tokens == 28
