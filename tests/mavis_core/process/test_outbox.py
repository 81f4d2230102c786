"""Outputs that wait for their reader: in order, all at once where it comes late, errors in their place."""

from __future__ import annotations

import asyncio

import pytest

from mavis_core.api.errors import EngineUnavailableError, RequestFailedError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ChoiceDelta, Request, RequestOutput, TokenLogprobs, failure
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.process.outbox import Outbox, merged

SCORED = (None, TokenLogprobs(2, -1.0, (), -1.0))


def box() -> Outbox:
    return Outbox(Request("r", (1, 2), SamplingParams(), Guidance()), 1)


def output(text: str, finished: bool = False, index: int = 0) -> RequestOutput:
    delta = ChoiceDelta(index, text, (ord(text),), finish_reason="stop" if finished else None)
    return RequestOutput("r", 2, (delta,), finished)


async def test_a_reader_who_waits_gets_each_as_it_comes() -> None:
    mine = box()
    for said in ("a", "b"):
        reading = asyncio.ensure_future(mine.read())
        await asyncio.sleep(0)
        assert not reading.done()
        mine.put(wanted := output(said))
        assert await reading is wanted


async def test_a_reader_who_comes_late_gets_all_as_one() -> None:
    mine, outputs = box(), [output("a"), output("b", index=1), output("c", finished=True)]
    for one in outputs:
        mine.put(one)
    found = await mine.read()
    assert found == RequestOutput("r", 2, tuple(delta for one in outputs for delta in one.deltas), finished=True)


async def test_nothing_is_lost_with_a_reader_who_gives_up_as_something_comes() -> None:
    mine = box()
    reading = asyncio.ensure_future(mine.read())
    await asyncio.sleep(0)
    mine.put(output("a"))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    mine.put(output("b"))
    assert [delta.text for delta in (await mine.read()).deltas] == ["a", "b"]


@pytest.mark.parametrize("end", [EngineUnavailableError("dead"), failure("r", 2, "it failed")])
async def test_what_came_before_an_error_is_read_first(end: Exception | RequestOutput) -> None:
    mine = box()
    for one in (output("a"), output("b"), end):
        mine.put(one)
    assert [delta.text for delta in (await mine.read()).deltas] == ["a", "b"]
    with pytest.raises((EngineUnavailableError, RequestFailedError), match=r"dead|it failed"):
        await mine.read()


def test_what_the_first_output_alone_says_is_kept() -> None:
    first = RequestOutput("r", 2, (), False, prompt_logprobs=SCORED, cached_tokens=16, queue_seconds=0.5)
    last = RequestOutput("r", 2, (), True, cached_tokens=16, queue_seconds=0.5)
    found = merged([first, last])
    assert (found.prompt_logprobs, found.cached_tokens, found.queue_seconds, found.finished) == (SCORED, 16, 0.5, True)
