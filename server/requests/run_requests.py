"""Runs the engine requests of one HTTP request and answers with their outputs.

Everything before the first output (queue full, engine down, refused prompt) becomes a proper status, also for a
stream: its response starts only once the first output is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.responses import Response

from mavis_core.api.messages import Request, RequestOutput
from server.answers.answer import Answer
from server.http.auth import caller_of
from server.http.disconnect import while_connected
from server.http.left_out import left_out_of
from server.http.rate_limits import Allowance
from server.http.streams import AnswerStream, Outputs
from server.http.throttle import reserve_tokens
from server.requests.held_outputs import outputs_of
from server.requests.live_answers import LiveAnswer, Tell, live_answers_of
from server.requests.resolved_request import ResolvedRequest
from server.telemetry.observation import Observation, ScoringObservation


async def respond_with(
    resolved: ResolvedRequest[Any],
    requests: Sequence[Request],
    answer: Answer,
    tell: Tell | None = None,
    allowance: Allowance | None = None,
) -> Response:
    """
    Args:
        tell: puts instructions into the conversation; None where there is none to put them into.
        allowance: of a request that has reserved its tokens already.
    """
    allowance = allowance or reserve_tokens(resolved.http, requests)
    live = LiveAnswer(resolved.steering, list(requests), tell)
    engine, constraint, left_out = resolved.service.engine, resolved.constraint, left_out_of(resolved.http)
    runs = [
        run(i, live, outputs_of(engine, request, constraint, left_out), _observation(resolved, request), allowance)
        for i, request in enumerate(requests)
    ]
    outputs = runs[0] if len(runs) == 1 else fan_in(runs)
    outputs = live_answers_of(resolved.http).known_by(answer.id, caller_of(resolved.http), live, outputs)
    if resolved.body.stream:
        first = await while_connected(resolved.http, first_of(outputs))
        return AnswerStream(answer, first, outputs)
    await while_connected(resolved.http, collect(outputs, answer))
    return Response(answer.whole(), media_type="application/json")


def _observation(resolved: ResolvedRequest[Any], request: Request) -> Observation:
    return Observation(resolved.service.metrics, request.sampling, resolved.steering.brought)


async def collect(outputs: Outputs, answer: Answer) -> None:
    async with aclosing(outputs):
        async for prompt, output in outputs:
            answer.collect(prompt, output)


async def first_of(outputs: Outputs) -> tuple[int, RequestOutput]:
    return await anext(outputs)


async def run(
    number: int,
    live: LiveAnswer,
    outputs: AsyncGenerator[RequestOutput, None],
    observation: Observation | ScoringObservation,
    allowance: Allowance,
) -> Outputs:
    """The outputs of a request with its number. Companions are charged as what they are: prompts more."""
    asked: Request | None = None
    prompts: tuple[tuple[int, ...], ...] = ()
    charged: set[tuple[int, ...]] = set()
    async with aclosing(outputs):
        try:
            async for output in outputs:
                observation.see(output)
                if live.requests[number] is not asked:  # at first, and once something has come of other steering
                    asked = live.requests[number]
                    prompts = asked.prompts
                    allowance.spent += sum(map(len, set(prompts) - charged))
                    charged.update(prompts)
                for delta in output.deltas:
                    allowance.spent += len(delta.token_ids) * len(prompts)
                yield number, output
        except (GeneratorExit, asyncio.CancelledError):
            observation.give_up()
            raise


async def fan_in(runs: Sequence[Outputs]) -> Outputs:
    """The outputs of several requests as they come; the first error ends all of them.

    Plain tasks and not a TaskGroup: a generator may be advanced from one task and closed from another.
    """
    arrived: asyncio.Queue[tuple[int, RequestOutput] | Exception | None] = asyncio.Queue()

    async def pump(outputs: Outputs) -> None:
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    arrived.put_nowait(output)
            arrived.put_nowait(None)
        except Exception as error:  # handed over, raised below
            arrived.put_nowait(error)

    tasks = [asyncio.ensure_future(pump(outputs)) for outputs in runs]
    try:
        left = len(tasks)
        while left:
            item = await arrived.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
