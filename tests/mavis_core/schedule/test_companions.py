"""Rows with companions in the scheduler alone: one unit, whatever happens, and no block is lost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from math import inf

from mavis_core.api.sampling_params import SamplingParams
from mavis_core.schedule.row import Row, RowFault
from mavis_core.schedule.scheduler import Plan, Scheduler
from tests.mavis_core.rows import rows

TOKEN = 11


def add(
    target: Scheduler, length: int, beside: Sequence[int], n: int = 1, name: str = "r", limit: int = 4
) -> list[Row]:
    """A request whose companions' prompts have the lengths ``beside`` and begin alike."""
    told = [[TOKEN + 1, *[TOKEN] * (other - 1)] for other in beside]
    found = rows([TOKEN] * length, SamplingParams(n=n, max_tokens=limit), name=name, prompted=told)
    target.add(found[0])
    return found


def drawing(plan: Plan) -> list[Row]:
    return [*plan.decode, *(chunk.row for chunk in plan.prefill if chunk.last), *(child for _, child in plan.forks)]


def draw(target: Scheduler, plan: Plan) -> None:
    for row in drawing(plan):
        row.append(TOKEN)
        if len(row.tokens) >= row.limit:
            row.finish_reason = "length"
            target.finish(row)


def check(target: Scheduler, plan: Plan, known: Sequence[Row]) -> None:
    """What holds after every ``schedule``."""
    tracks = [track for row in known for track in row.tracks]
    holders = Counter(block for track in tracks for block in track.blocks)
    assert target.blocks.free == target.blocks.num_blocks - len(holders), "a block is held by nobody, or lost"
    assert sum(row.places for row in target.running) <= target.max_rows
    fed = plan.decode_tokens + sum(chunk.count for chunk in (*plan.prefill, *plan.beside))
    assert fed <= target.max_tokens or (not target.chunked and not plan.decode and len(plan.prefill) == 1)
    for row in known:
        held = [bool(track.blocks) for track in row.tracks]
        assert len(set(held)) == 1, "a part of a row has blocks"
        assert len({len(track.tokens) - track_prompt(row, i) for i, track in enumerate(row.tracks)}) == 1
        caught_up = {track.computed == len(track.tokens) for track in row.tracks}
        assert len(caught_up) == 1 or not held[0], "a part of a row has read its last token"
    drawn = drawing(plan)
    assert len(set(map(id, drawn))) == len(drawn)
    for row in drawn:
        for track in row.tracks:
            assert track.computed == len(track.tokens), "a row draws before a companion has caught up"
            assert len(track.blocks) * target.block_size > len(track.tokens), "no slot for the token that is drawn"
            assert holders[track.blocks[len(track.tokens) // target.block_size]] == 1, "the next block is shared"


def track_prompt(row: Row, number: int) -> int:
    prompts = row.request.prompts
    return len(prompts[number])


def test_nobody_reads_its_last_token_before_all_can() -> None:
    target = Scheduler(30, 3, 4, 7, chunked=True, prefix_caching=False)
    (row,) = add(target, 5, [16, 2])
    seen = []
    while not row.output_length:
        plan = target.schedule()
        check(target, plan, [row])
        seen.append((sum(c.count for c in plan.prefill), [c.count for c in plan.beside], bool(drawing(plan))))
        draw(target, plan)
    assert seen == [(4, [3], False), (0, [7], False), (0, [5, 1], False), (1, [1, 1], True)]


def test_a_row_waits_until_its_companions_fit_too() -> None:
    target = Scheduler(99, 3, 4, 99, chunked=True, prefix_caching=False)
    (first,) = add(target, 2, [2], name="first", limit=3)
    (second,) = add(target, 2, [2, 2], name="second")
    (third,) = add(target, 2, [], name="third")
    draw(target, target.schedule())
    assert target.running == [first], "two places are free, the next row wants three, and nobody overtakes it"
    for _ in range(2):
        draw(target, target.schedule())
    assert first.finish_reason
    draw(target, target.schedule())
    assert target.running == [second, third]


def test_choices_count_with_their_companions() -> None:
    target = Scheduler(99, 3, 7, 99, chunked=True, prefix_caching=False)
    choices = add(target, 4, [5], n=5)
    plan = target.schedule()
    check(target, plan, choices)
    assert [child for _, child in plan.forks] == choices[1:3], "six of seven places"
    assert len(plan.copies) == 4, "the half-filled blocks of both tracks, for both"


def test_last_tokens_are_read_together_however_small_the_part_of_a_step_that_prompts_may_have() -> None:
    target = Scheduler(99, 3, 9, 99, chunked=True, prefix_caching=False, stretch=1.5)
    (decodes,) = add(target, 2, [], name="decodes", limit=28)
    draw(target, target.schedule())
    (wide,) = add(target, 2, [2] * 7, name="wide", limit=1)
    for _ in range(20):
        plan = target.schedule()
        check(target, plan, [decodes, wide])
        draw(target, plan)
        target.took(plan, 1.0 + plan.prompt_tokens)  # far too long, whatever is read
        if wide.output_length:
            break
    assert wide.finish_reason == "length"
    assert decodes.finish_reason is None


def test_a_preempted_row_gives_back_what_its_companions_have() -> None:
    target = Scheduler(5, 3, 4, 20, chunked=True, prefix_caching=False)
    (old,) = add(target, 5, [], name="old", limit=7)
    (young,) = add(target, 2, [3], name="young", limit=3)
    known, preempted = [old, young], 0
    for _ in range(30):
        plan = target.schedule()
        check(target, plan, known)
        preempted += plan.preempted
        draw(target, plan)
    assert preempted > 0
    assert [row.output_length for row in known] == [7, 3]
    assert young.companions[0].fed > 3 + 2, "what is read again was computed again"
    assert target.blocks.free == 5


def test_companions_share_prefixes_with_those_of_other_requests_and_rows() -> None:
    target = Scheduler(99, 3, 9, 99, chunked=True, prefix_caching=True)
    (first,) = add(target, 7, [10], name="first", limit=1)
    draw(target, target.schedule())
    (second,) = add(target, 7, [10], name="second", limit=1)
    plan = target.schedule()
    assert ([c.count for c in plan.prefill], [c.count for c in plan.beside]) == ([1], [1])
    assert (plan.queried, plan.cached) == (17, 6 + 9)
    assert second.cached_tokens == 6, "of the prompt"
    draw(target, plan)
    (plain,) = rows(first.companions[0].tokens, SamplingParams(max_tokens=1), name="plain")
    target.add(plain)
    target.schedule()
    assert plain.cached_tokens == 9, "the same text, read by the policy alone"


def test_spoiled_blocks_of_companions_are_not_found_again() -> None:
    target = Scheduler(99, 3, 9, 99, chunked=True, prefix_caching=True)
    (row,) = add(target, 7, [10])
    draw(target, target.schedule())
    target.schedule()
    row.fault = RowFault("x", spoiled=True)
    target.finish(row)
    add(target, 7, [10], name="again")
    assert target.schedule().cached == 0
    target.forget_prefixes()


def test_a_thousand_histories_leak_nothing_and_starve_nobody() -> None:
    """Random arrivals, aborts, faults and steps with few blocks; at the end every row is done and every block free."""
    preempted = units = 0
    for seed in range(1000):
        choose = random.Random(seed)
        block, most = choose.randint(1, 4), choose.randint(3, 7)
        num_blocks = -(-12 // block) * 3 + choose.randint(0, 2)
        chunked, caching = choose.random() < 0.7, choose.random() < 0.7
        tokens, stretch = choose.randint(most, 17), choose.choice([inf, 1.2])
        target = Scheduler(num_blocks, block, most, tokens, chunked, caching, stretch)
        known: list[Row] = []
        for i in range(choose.randint(2, 9)):
            event = choose.choice(["add", "add", "abort", "step", "step", "step"])
            if event == "add":
                beside = [choose.randint(1, 9) for _ in range(choose.choice([0, 1, 1, 2]))]
                limit = choose.randint(1, 12 - max([4, *beside]))
                known += add(target, choose.randint(1, 4), beside, choose.randint(1, 3), str(i), limit)
                units += bool(beside)
            elif event == "abort" and known:
                name = choose.choice(known).request.id
                fault = RowFault("x", spoiled=True) if choose.random() < 0.5 else None
                for row in [row for row in known if row.request.id == name]:
                    row.forks, row.fault = [], fault
                    row.finish_reason = row.finish_reason or "stop"
                    target.finish(row)
            else:
                check(target, plan := target.schedule(), known)
                preempted += plan.preempted
                draw(target, plan)
                target.took(plan, choose.random())
        for _ in range(400):
            if not (target.waiting or target.running):
                break
            check(target, plan := target.schedule(), known)
            assert not plan.empty
            preempted += plan.preempted
            draw(target, plan)
            target.took(plan, choose.random())
        assert all(row.finish_reason for row in known), seed
        assert target.blocks.free == num_blocks, seed
    assert preempted > 150
    assert units > 1000
